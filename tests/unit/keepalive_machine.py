"""The engine's machine in C under a clock of the test's own: no thread, no socket, no kernel."""

import ctypes as c
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np

from bongsu.protocol.gre_keepalive import Ends, gre_payload
from bongsu.system.bpf import layout
from bongsu.system.keepalive.library import lib
from bongsu.system.keepalive.session import Session

ACTION = np.dtype(
    [
        ("at", "u8"),
        ("nonce", "u8"),
        ("slot", "u4"),
        ("what", "u4"),
        ("counter", "u4"),
        ("identification", "u4"),
        ("generation", "u4"),
        ("unused", "u4"),
    ]
)
SEND, UP, DOWN = range(3)
SIZES = ("config", "change", "line", "action", "session", "state", "machine", "ear")
FOUR = Ends(IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1"))
SIX = Ends(IPv6Address("2001:db8:a::1"), IPv6Address("2001:db8:b::1"), 7)


def sizes() -> dict[str, int]:
    """Bytes of the structures, as the compiler has them."""
    found = (c.c_uint32 * len(SIZES)).in_dll(lib(), "ka_sizes")
    return dict(zip(SIZES, found, strict=True))


class Reply(c.Structure):
    """struct ka_reply."""

    _fields_ = (
        ("source", c.c_uint8 * 16),
        ("target", c.c_uint8 * 16),
        ("family", c.c_uint8),
        ("ttl", c.c_uint8),
        ("length", c.c_uint16),
        ("identification", c.c_uint32),
        ("gre", c.c_char_p),
        ("room", c.c_uint32),
    )


def session(ends: Ends = FOUR, nonce: bool = False, **changes: Any) -> Session:
    """A session whose replies the thread judges."""
    values: dict[str, Any] = {
        "local": ends.local,
        "remote": ends.remote,
        "interval_ns": 1000,
        "retries": 3,
        "payload": gre_payload(ends, nonce=bytes(8) if nonce else None),
        "inner": 4 if ends.key is None else 8,
        "nonce": nonce,
        "mode": "socket",
    }
    return Session(**(values | changes))


class Machine:
    """Sessions of one memory."""

    def __init__(self, slots: int = 64) -> None:
        self.records = np.zeros(slots, layout.KEEPALIVE)
        self.states = np.zeros(slots, layout.STATE)
        self._lib = lib()
        size = sizes()
        self._machine = c.create_string_buffer(size["machine"])
        self._ear = c.create_string_buffer(size["ear"])
        self._out = np.zeros(1024, ACTION)
        self._lib.ka_ear_judge.restype = c.c_bool
        self._lib.ka_machine_due.restype = c.c_uint64
        code = self._lib.ka_machine_init(
            self._machine,
            c.c_void_p(self.records.ctypes.data),
            c.c_void_p(self.states.ctypes.data),
            slots,
        )
        assert code == 0
        self._lib.ka_ear_init(self._ear)

    def add(self, slot: int, made: Session, now: int, up: bool = True) -> int:
        config = made.config(slot, up)
        code = self._lib.ka_machine_add(self._machine, c.byref(config), c.c_uint64(now))
        if code == 0:
            self._lib.ka_ear_enter(self._ear, self._machine, slot)
        return int(code)

    def remove(self, slot: int) -> int:
        code = int(self._lib.ka_machine_remove(self._machine, slot))
        if code == 0:
            self._lib.ka_ear_leave(self._ear, self._machine, slot)
        return code

    @property
    def due(self) -> int:
        return int(self._lib.ka_machine_due(self._machine))

    def step(self, now: int, room: int = 1024) -> list[Any]:
        count = self._lib.ka_machine_step(
            self._machine, c.c_uint64(now), c.c_void_p(self._out.ctypes.data), room
        )
        return list(self._out[:count].copy())

    def judge(
        self,
        identification: int,
        now: int,
        *,
        ends: Ends = FOUR,
        rest: bytes = b"",
        header: bytes | None = None,
        source: Any = None,
    ) -> bool:
        """A packet as the stack hands it up; `header` is its GRE header."""
        if header is None:
            header = b"\0\0\0\0"
            if ends.key is not None:
                header = b"\x20\0\0\0" + ends.key.to_bytes(4, "big")
        data = header + rest
        reply = Reply(family=ends.local.version, identification=identification)
        for field, address in ((reply.source, source or ends.remote), (reply.target, ends.local)):
            field[: len(address.packed)] = address.packed
        reply.gre, reply.room = data, len(data)
        heard = c.create_string_buffer(64)
        return bool(
            self._lib.ka_ear_judge(self._ear, self._machine, c.byref(reply), c.c_uint64(now), heard)
        )

    def replied(self, slot: int, now: int) -> list[Any]:
        """What follows from the replies that were judged."""
        count = self._lib.ka_machine_reply(
            self._machine, slot, c.c_uint64(now), c.c_void_p(self._out.ctypes.data)
        )
        return list(self._out[:count].copy())

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.ka_machine_free(self._machine)
