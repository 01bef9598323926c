"""What the tests of path measurements share: flows, an answering path, and kept runs made of numbers."""

from collections.abc import Sequence
from ipaddress import ip_address

import numpy as np
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6TimeExceeded, IPv6

from bongsu.model.base import Address
from bongsu.protocol.path.flow import Flow, Kind, Protocol
from bongsu.protocol.path.machine import MS, SECOND, TARGET, Pace
from bongsu.protocol.path.records import ROW, Addresses, Table
from bongsu.protocol.path.run import Head, Run

SOURCES = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
TARGETS = {4: ip_address("198.51.100.9"), 6: ip_address("2001:db8:9::9")}
ROUTER = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8:5::1")}
BEGAN_NS = 1_790_000_000 * SECOND


def flow(protocol: Protocol = "icmp", family: int = 4, size: int = 0) -> Flow:
    return Flow(
        protocol,
        SOURCES[family],
        TARGETS[family],
        b"k" * 16,
        ident=4321,
        constant=1234,
        size=max(size, 64),
    )


def on_the_wire(one: Flow, sequence: int, ttl: int = 1) -> bytes:
    """The probe with its IP header."""
    data = one.encode(sequence)
    if one.family == 4:
        return bytes(IP(src=str(one.source), dst=str(one.target), proto=one.number, ttl=ttl) / data)
    return bytes(IPv6(src=str(one.source), dst=str(one.target), nh=one.number, hlim=ttl) / data)


def reply(one: Flow, sequence: int) -> bytes:
    """The target's answer to an echo probe, as a raw socket receives it."""
    echoed = bytes(one.encode(sequence))
    ident, number, payload = one.ident, int.from_bytes(echoed[6:8]), echoed[8:]
    if one.family == 4:
        answer = IP(src=str(one.target), dst=str(one.source)) / ICMP(type=0, id=ident, seq=number)
        return bytes(answer / payload)
    answer = IPv6(src=str(one.target), dst=str(one.source)) / ICMPv6EchoReply(
        id=ident, seq=number, data=payload
    )
    return bytes(answer)[40:]


def error(one: Flow, quote: bytes, kind: Kind = Kind.EXCEEDED, code: int = 0) -> bytes:
    """A router's error about a quoted packet, as a raw socket receives it."""
    if one.family == 4:
        about = ICMP(type=11 if kind is Kind.EXCEEDED else 3, code=code)
        return bytes(IP(src=str(ROUTER[4]), dst=str(one.source)) / about / quote)
    about6 = ICMPv6TimeExceeded if kind is Kind.EXCEEDED else ICMPv6DestUnreach
    whole = IPv6(src=str(ROUTER[6]), dst=str(one.source)) / about6(code=code) / quote
    return bytes(whole)[40:]


def head(name: str = "web", count: int | None = None) -> Head:
    pace = Pace()
    return Head(
        source_name="busan",
        target_name=name,
        source=str(SOURCES[4]),
        target=str(TARGETS[4]),
        protocol="icmp",
        interval_ns=pace.interval_ns,
        round_ns=pace.round_ns,
        wait_ns=pace.wait_ns,
        count=count,
        max_hops=pace.max_hops,
        size=64,
    )


def kept(rtt_ms: Sequence[float | None], name: str = "web", interval_ns: int = SECOND) -> Run:
    """A run of probes to the target alone: each RTT, None for a lost one."""
    rows = np.zeros(len(rtt_ms), ROW)
    for place, rtt in enumerate(rtt_ms):
        rows[place]["sent_ns"] = BEGAN_NS + place * interval_ns
        rows[place]["sequence"] = place
        rows[place]["ttl"] = TARGET
        rows[place]["rtt_ns"] = -1 if rtt is None else round(rtt * MS)
        rows[place]["kind"] = Kind.LOST if rtt is None else Kind.REPLY
        rows[place]["host"] = 0 if rtt is None else 1
    return Run(head(name), [BEGAN_NS], Addresses([TARGETS[4]]), Table(rows))


def drawn(
    number: int, seed: int, *, base: float = 50.0, loss: float = 0.0, name: str = "web"
) -> Run:
    """A long run, by numpy: gamma-shaped RTTs and independent losses."""
    random = np.random.default_rng(seed)
    rows = np.zeros(number, ROW)
    rows["sent_ns"] = BEGAN_NS + np.arange(number) * SECOND
    rows["sequence"] = np.arange(number)
    gone = random.random(number) < loss
    rtt = ((base + random.gamma(2, 2, number)) * MS).astype(np.int64)
    rows["rtt_ns"] = np.where(gone, -1, rtt)
    rows["kind"] = np.where(gone, int(Kind.LOST), int(Kind.REPLY))
    rows["host"] = np.where(gone, 0, 1)
    return Run(head(name), [BEGAN_NS], Addresses([TARGETS[4]]), Table(rows))


class Path:
    """Routers and a target that answer a machine's probes; what is unplugged stays silent."""

    def __init__(self, one: Flow, routers: Sequence[str | None], *, delay_ns: int = 5 * MS) -> None:
        self.flow = one
        self.routers = list(routers)
        self.delay_ns = delay_ns
        self.target_answers = True

    def answer(self, sequence: int, ttl: int) -> tuple[bytes, Address, int] | None:
        """Packet, sender and how long it takes; None for silence."""
        if ttl == TARGET or ttl > len(self.routers):
            hops = len(self.routers) + 1
            if not self.target_answers:
                return None
            return reply(self.flow, sequence), self.flow.target, hops * self.delay_ns
        router = self.routers[ttl - 1]
        if router is None:
            return None
        data = error(self.flow, on_the_wire(self.flow, sequence))
        return data, ip_address(router), ttl * self.delay_ns
