"""Streams of the repair engine in C under a clock of the test's own: no thread, no socket, no device."""

import ctypes as c
import random
from typing import Any, Self

from bongsu.model.accelerator import ReedSolomon
from bongsu.protocol.repair.packet import LEAST, TRAILER, Header, Report
from bongsu.system.repair import library

SIZES = ("peer", "mode", "sent", "received", "peer_row", "counts", "sender", "receiver", "pool")
UP = Header(kind=0, destination=0x0B0B0B0B, source=0x0A0A0A0A, accelerator=77)
_OUT = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint32, c.c_bool)
_DELIVER = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint32)


def sizes() -> dict[str, int]:
    """Bytes of the structures, as the compiler has them."""
    found = (c.c_uint32 * len(SIZES)).in_dll(library.lib(), "rp_sizes")
    return dict(zip(SIZES, found, strict=True))


def relayed(header: Header, size: int, seed: int = 0) -> bytes:
    """A relayed packet: header, tag, and an inner IPv4 packet of noise."""
    body = random.Random(seed).randbytes(size - 17)
    return header.pack() + body[:8] + b"\x45" + body[8:]


def mode(block: int = 20, overhead_percent: int = 25, delay_ms: int = 20) -> ReedSolomon:
    return ReedSolomon(
        mode="reed-solomon", block=block, overhead_percent=overhead_percent, delay_ms=delay_ms
    )


class CSender:
    """rp_sender, with what it gives out without the tag's place."""

    def __init__(self, header: Header, epoch: int, mode: ReedSolomon, now: int) -> None:
        self._lib = library.lib()
        self._sender = c.create_string_buffer(sizes()["sender"])
        self._out: list[bytes] = []
        self._give = _OUT(lambda _, at, size, parity: self._out.append(c.string_at(at, size)))
        self._lib.rp_code_init()
        self._lib.rp_sender_init(
            self._sender,
            header.kind,
            header.destination,
            header.source,
            header.accelerator,
            epoch,
            c.c_uint64(now),
        )
        made = library.Mode(
            library.MODES["reed-solomon"], mode.block, mode.overhead_percent, mode.delay_ms * 1000
        )
        self._memory = c.create_string_buffer(self._lib.rp_mode_memory(c.byref(made)))
        self._lib.rp_sender_mode(
            self._sender, c.byref(made), self._memory, c.c_uint64(now), self._give, None
        )

    def put(self, packet: bytes, now: int) -> list[bytes]:
        room = c.create_string_buffer(packet, len(packet) + TRAILER)
        self._lib.rp_sender_put(self._sender, room, len(packet), c.c_uint64(now), self._give, None)
        return self._taken()

    def tick(self, now: int) -> list[bytes]:
        self._lib.rp_sender_tick(self._sender, c.c_uint64(now), self._give, None)
        return self._taken()

    def report(self, epoch: int, report: Report, now: int) -> None:
        self._lib.rp_sender_report(self._sender, epoch, report.pack(), c.c_uint64(now))

    def _taken(self) -> list[bytes]:
        taken, self._out[:] = list(self._out), []
        return taken


class CReceiver:
    """rp_receiver with a pool of its own."""

    ROOM = 16

    def __init__(self, header: Header, delay_us: int = 0, pool: int = 16384) -> None:
        self._lib = library.lib()
        size = sizes()
        self._receiver = c.create_string_buffer(size["receiver"])
        self._pool = c.create_string_buffer(size["pool"])
        self._out: list[bytes] = []
        self._give = _DELIVER(lambda _, at, size: self._out.append(c.string_at(at, size)))
        self._lib.rp_pool_init.restype = c.c_bool
        assert self._lib.rp_pool_init(self._pool, pool)
        self._lib.rp_code_init()
        self._lib.rp_receiver_init(
            self._receiver, header.kind, header.destination, header.source, header.accelerator
        )
        self._at = _offsets(self._lib, delay_us, self._receiver)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.rp_pool_free(self._pool)

    def take(self, packet: bytes, now: int) -> list[bytes]:
        """A packet without a tag, which nobody looks at here."""
        room = c.create_string_buffer(bytes(self.ROOM) + packet + bytes(8), len(packet) + 24)
        self._lib.rp_receiver_take(
            self._receiver,
            self._pool,
            c.byref(room, self.ROOM),
            len(packet) + 8,
            c.c_uint64(now),
            self._give,
            None,
        )
        taken, self._out[:] = list(self._out), []
        return taken

    def settle(self) -> None:
        self._lib.rp_receiver_settle(self._receiver)

    def report(self) -> bytes:
        """The whole packet but its tag."""
        room = c.create_string_buffer(256)
        size = self._lib.rp_receiver_report(self._receiver, room)
        return room.raw[:size]

    def clear(self) -> None:
        self._lib.rp_receiver_clear(self._receiver, self._pool)

    @property
    def left(self) -> int:
        """Free buffers of the pool."""
        return int.from_bytes(self._pool.raw[20:24], "little")


def _offsets(lib: Any, delay_us: int, receiver: Any) -> int:
    """Where the delay is; set."""
    offset = int((c.c_uint32 * 2).in_dll(lib, "rp_offsets")[0])
    c.c_uint32.from_buffer(receiver, offset).value = delay_us
    return offset


__all__ = ["LEAST", "UP", "CReceiver", "CSender", "mode", "relayed", "sizes"]
