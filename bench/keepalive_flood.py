"""Ten million spoofed and malformed keepalives against a node with one session, and what came of them.

Two nodes, a and b, with the agent's data plane and engine on a, the data plane on b, and a wire of
theirs on which a stranger sends frames to a as fast as one core can make them, from b's address, in
turn of every kind below. Meanwhile a's session with b (10 ms x 3) must go on as if nothing were: no
line down, no request lost, no packet sent back, no reply counted that b did not send, and every
packet of the flood found again in exactly one counter of a.

The stranger is off the path: he knows both addresses, and nothing of the key. He who knows the key too
has to guess sixteen bits for each request: how often he is right is told apart, with and without the
nonce of 64 bits, which makes it never.

    sudo .venv/bin/python bench/keepalive_flood.py [--packets 10000000]
"""

import argparse
import contextlib
import ctypes as c
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import numpy as np
from pyroute2 import IPRoute

from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive import Ends, gre_payload
from bongsu.system import netns
from bongsu.system.bpf import layout
from bongsu.system.gre import links
from bongsu.system.gre.plane import Plane
from bongsu.system.keepalive.engine import KeepaliveEngine
from bongsu.system.keepalive.session import Session
from bongsu.system.rtnl import Rtnl
from common import Figure, machine, report

PID = os.getpid()
NAMES = {end: f"bst-kf{PID}-{end}" for end in "abm"}
A, B, STRANGER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), IPv4Address("192.0.2.66")
KEY, WRONG = 4711, 4712
INTERVAL_MS, RETRIES = 10, 3
VARIANTS = 2048
"""Packets of each kind that differ."""
AT_ONCE = 512
GRE, KEYED, SUMMED = 47, 0x2000, 0x8000
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


def ip(
    source: IPv4Address, target: IPv4Address, data: bytes, *, ident: int = 0, ttl: int = 255,
    protocol: int = GRE, fragment: int = 0, total: int | None = None, wrong_sum: bool = False,
) -> bytes:  # fmt: skip
    """An IPv4 packet; `total` and `wrong_sum` are for lies."""
    size = 20 + len(data) if total is None else total
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, size, ident, fragment, ttl, protocol, 0, source.packed,
        target.packed,
    )  # fmt: skip
    value = checksum(head) ^ (0x5555 if wrong_sum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + data


def gre(kind: int, data: bytes = b"", *, key: int | None = KEY, flags: int = 0) -> bytes:
    """A GRE header and what follows; a checksum is any, and stands before the key (RFC 2890)."""
    head = struct.pack("!HH", flags | (KEYED if key is not None else 0), kind)
    head += os.urandom(2) + bytes(2) if flags & SUMMED else b""
    return head + (b"" if key is None else struct.pack("!I", key)) + data


def ident() -> int:
    """A guess."""
    return random.getrandbits(16)


def asks(key: int | None = KEY, source: IPv4Address = B, **inner: Any) -> bytes:
    """A request to a, to be sent back to b: spoofed in full if nothing else is said."""
    near, far = inner.pop("near", A), inner.pop("far", B)
    answer = ip(near, far, gre(0, key=key), ident=ident(), **inner)
    return ip(source, A, gre(0x0800, answer, key=key))


KINDS: dict[str, Callable[[], bytes]] = {
    "reply, no key": lambda: ip(B, A, gre(0, key=None), ident=ident()),
    "reply, wrong key": lambda: ip(B, A, gre(0, key=WRONG), ident=ident()),
    "reply from a stranger": lambda: ip(STRANGER, A, gre(0), ident=ident()),
    "reply to somebody else": lambda: ip(B, STRANGER, gre(0), ident=ident()),
    "reply, fragment": lambda: ip(B, A, gre(0), ident=ident(), fragment=0x2001),
    "reply, GRE checksum": lambda: ip(B, A, gre(0, flags=SUMMED), ident=ident()),
    "reply, sequence number": lambda: ip(B, A, gre(0, flags=0x1000), ident=ident()),
    "reply, GRE version 1": lambda: ip(B, A, gre(0, flags=0x0001), ident=ident()),
    "reply, broken IP checksum": lambda: ip(B, A, gre(0), ident=ident(), wrong_sum=True),
    "reply, shorter than it says": lambda: ip(B, A, gre(0), ident=ident(), total=200),
    "reply, bytes behind it": lambda: ip(B, A, gre(0, os.urandom(24)), ident=ident()),
    "request, no key": lambda: asks(None),
    "request, wrong key": lambda: asks(WRONG),
    "request from a stranger": lambda: asks(source=STRANGER, far=STRANGER),
    "request to be sent on": lambda: asks(far=STRANGER),
    "request from somewhere else": lambda: asks(near=STRANGER),
    "request, spent TTL": lambda: asks(ttl=1),
    "request, inner fragment": lambda: asks(fragment=0x2000),
    "request, inner length a lie": lambda: asks(total=400),
    "request in a request": lambda: ip(B, A, gre(0x0800, asks())),
    "noise behind the key": lambda: ip(B, A, gre(0x0800, os.urandom(28))),
}
GUESS = "reply, right key, identification guessed"


@dataclass
class Flood:
    """What was sent, and what a's counters say of it."""

    kind: str
    sent: int = 0
    took_s: float = 0.0
    found: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    """As replies."""


def main() -> None:
    """Flood, count, compare; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=10_000_000)
    arguments = parser.parse_args()
    before = machine()
    share = -(-arguments.packets // len(KINDS))
    with nodes(nonce=False) as world:
        floods = [world.flood(kind, make, share) for kind, make in KINDS.items()]
        session = world.judgement()
        guessed = world.flood(GUESS, guess, share)
    with nodes(nonce=True) as world:
        nonced = world.flood(f"{GUESS}, nonce too", guess_nonce, share)
    total = sum(each.sent for each in floods)
    figures = [
        Figure("packets", "", [float(total)]),
        Figure("rate", "Mpps", [each.sent / each.took_s / 1e6 for each in floods]),
        Figure("line down", "", [session["down"]], lower_is_better=True),
        Figure("requests of ours lost", "", [session["lost"]], lower_is_better=True),
        Figure("sent back", "", [session["reflected"]], lower_is_better=True),
        Figure("counted as replies", "", [session["false"]], lower_is_better=True),
        Figure(
            "not in exactly one counter", "",
            [abs(each.sent - sum(each.found.values())) for each in floods], lower_is_better=True,
        ),
        Figure(
            "right guesses with the key", "", [guessed.accepted],
            lower_is_better=True, note=f"of {guessed.sent:,}, 16 bits",
        ),
        Figure(
            "right guesses against a nonce", "", [nonced.accepted],
            lower_is_better=True, note=f"of {nonced.sent:,}, 80 bits",
        ),
    ]  # fmt: skip
    notes = [f"{each.kind}: {each.sent:,} sent, {each.found}" for each in floods]
    report("keepalive_flood", figures, before=before, notes=notes)


def guess() -> bytes:
    """A perfect forgery but for the identification."""
    return ip(B, A, gre(0), ident=ident())


def guess_nonce() -> bytes:
    """The same where a nonce is asked for."""
    return ip(B, A, gre(0, os.urandom(8)), ident=ident())


class World:
    """Both nodes, the stranger's socket, and a's counters."""

    def __init__(self, plane: Plane, engine: KeepaliveEngine, far: Plane, macs: bytes) -> None:
        self._plane, self._engine, self._far, self._macs = plane, engine, far, macs

    def _false(self) -> int:
        """Replies that a has counted and b never sent. It is read in this order: b's come first."""
        received = int(self._engine.records[1]["received"])
        return max(received - int(self._far.counts[1]["keepalives_reflected"].sum()), 0)

    def flood(self, kind: str, make: Callable[[], bytes], count: int) -> Flood:
        """Sends `count` packets of a kind and reads what became of them."""
        done = Flood(kind)
        batch = Batch([self._macs + make() for _ in range(VARIANTS)])
        before, false = self.counters(), self._false()
        with netns.socket_in(NAMES["m"], socket.AF_PACKET, socket.SOCK_RAW, 0) as stranger:
            stranger.bind(("to-a", 0))
            stranger.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            began = time.monotonic()
            while done.sent < count:
                done.sent += batch.send(stranger, min(AT_ONCE, count - done.sent))
            done.took_s = time.monotonic() - began
        time.sleep(0.1)
        after = self.counters()
        done.found = {name: after[name] - before[name] for name in after}
        done.found = {name: number for name, number in done.found.items() if number}
        done.accepted = self._false() - false
        print(f"{kind}: {done.sent:,} at {done.sent / done.took_s / 1e6:.2f} Mpps, {done.found}")
        return done

    def counters(self) -> dict[str, int]:
        """Everything of a that a GRE packet can end in."""
        rows = self._plane.counts
        found = {name: int(rows[0][name].sum()) for name in ("unknown", "fragments")}
        found["reflected"] = int(rows[1]["keepalives_reflected"].sum())
        found["data"] = int(rows[1]["rx_packets"].sum())
        drops = rows[:2]["drops"].sum(axis=(0, 1))
        found |= {name: int(n) for name, n in zip(layout.DROPS, drops, strict=True)}
        record = self._engine.records[1]
        for index, number in enumerate(record["refused"]):
            found[f"refused {index}"] = int(number)
        return found

    def judgement(self) -> dict[str, float]:
        """How the session has fared."""
        record = self._engine.records[1]
        down = [change for change in self._engine.transitions() if not change.up]
        outstanding = 1 if int(record["sent"]) > int(record["received"]) else 0
        lost = int(record["sent"]) - int(record["received"]) - outstanding
        return {
            "down": float(len(down)),
            "lost": float(max(lost, 0)),
            "reflected": float(self._plane.counts[1]["keepalives_reflected"].sum()),
            "false": float(self._false()),
        }


@contextlib.contextmanager
def nodes(*, nonce: bool) -> Iterator[World]:
    """a and b on one bridge, a session between them, and a port for the stranger."""
    for name in NAMES.values():
        netns.create(name)
    try:
        with contextlib.ExitStack() as stack:
            with netns.in_netns(NAMES["m"]), IPRoute() as route:
                route.link("add", ifname="br", kind="bridge", br_stp_state=0)
                bridge = route.link_lookup(ifname="br")[0]
                for end in "ab":
                    route.link("add", ifname=f"to-{end}", kind="veth", peer=f"w{end}")
                    with netns.path(NAMES[end]).open() as file:
                        index = route.link_lookup(ifname=f"w{end}")[0]
                        route.link("set", index=index, net_ns_fd=file.fileno(), ifname="wire")
                    port = route.link_lookup(ifname=f"to-{end}")[0]
                    route.link("set", index=port, master=bridge, state="up")
                route.link("set", index=bridge, state="up")
            macs, planes = {}, {}
            for end, address in (("a", A), ("b", B)):
                with netns.in_netns(NAMES[end]), IPRoute() as route:
                    index = route.link_lookup(ifname="wire")[0]
                    route.link("set", index=1, state="up")
                    route.link("set", index=index, state="up")
                    route.addr("add", index=index, address=str(address), prefixlen=24)
                    macs[end] = bytes.fromhex(
                        route.link("get", index=index)[0].get_attr("IFLA_ADDRESS").replace(":", "")
                    )
            for end, local, remote in (("a", A, B), ("b", B, A)):
                planes[end] = stack.enter_context(plane(end, local, remote))
            with netns.in_netns(NAMES["a"]):
                engine = KeepaliveEngine(planes["a"].memory())
                stack.callback(engine.close)
                engine.add(1, session(socket.if_nametoindex("wire"), nonce=nonce))
            time.sleep(1.5)
            yield World(planes["a"], engine, planes["b"], macs["a"] + macs["b"] + b"\x08\x00")
    finally:
        for name in NAMES.values():
            netns.remove(name)


@contextlib.contextmanager
def plane(end: str, local: IPv4Address, remote: IPv4Address) -> Iterator[Plane]:
    """The data plane of one end, with one tunnel that has no interface."""
    with netns.in_netns(NAMES[end]), Rtnl() as kernel:
        made = Plane.open(kernel)
        index = socket.if_nametoindex("wire")
        made.hold_underlay(links.read(kernel, index), xdp=False)
        record: Any = np.zeros((), layout.TUNNEL)
        record["local"] = np.void(local.packed.ljust(16, b"\0"))
        record["remote"] = np.void(remote.packed.ljust(16, b"\0"))
        record["key"], record["flags"] = KEY, layout.KEYED
        record["slot"], record["counters"], record["underlay"] = 1, made.cpus, index
        record["device"], record["peer"] = 1_000_001, 2_000_001
        record["family"], record["ttl"], record["mtu"], record["overhead"] = 4, 255, 1400, 28
        record["name"], record["reflect_gap"] = b"k1", 100
        made.put(record, None)
    try:
        yield made
    finally:
        made.close()


def session(index: int, *, nonce: bool) -> Session:
    """As the agent would make it."""
    return Session(
        local=A,
        remote=B,
        interval_ns=INTERVAL_MS * 1_000_000,
        retries=RETRIES,
        payload=gre_payload(Ends(A, B, KEY), nonce=bytes(8) if nonce else None),
        nonce=nonce,
        inner=8,
        ifindex=index,
    )


class _Message(c.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", c.c_void_p),
        ("name_length", c.c_uint32),
        ("parts", c.c_void_p),
        ("part_count", c.c_size_t),
        ("control", c.c_void_p),
        ("control_length", c.c_size_t),
        ("flags", c.c_int),
        ("length", c.c_uint32),
    )


class _Part(c.Structure):
    """struct iovec."""

    _fields_ = (("base", c.c_void_p), ("length", c.c_size_t))


class Batch:
    """Frames that one system call sends, one after the other, round and round."""

    def __init__(self, frames: list[bytes]) -> None:
        self._libc = c.CDLL(None, use_errno=True)
        self._memory = [c.create_string_buffer(frame, len(frame)) for frame in frames]
        self._parts = (_Part * len(frames))(
            *(_Part(c.addressof(held), len(held)) for held in self._memory)
        )
        self._messages = (_Message * len(frames))()
        for number, message in enumerate(self._messages):
            message.parts = c.addressof(self._parts) + number * c.sizeof(_Part)
            message.part_count = 1
        self._next = 0

    def send(self, to: socket.socket, count: int) -> int:
        """How many were sent. Errors: OSError."""
        if self._next + count > len(self._messages):
            self._next = 0
        at = c.byref(self._messages, self._next * c.sizeof(_Message))
        sent = int(self._libc.sendmmsg(to.fileno(), at, count, 0))
        if sent < 0:
            code = c.get_errno()
            raise OSError(code, os.strerror(code))
        self._next += sent
        return sent


if __name__ == "__main__":
    main()
