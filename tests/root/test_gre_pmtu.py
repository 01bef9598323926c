"""Path MTU through the eBPF tunnel: senders are told, and only the truth is believed."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import GRE, Ether

from bongsu.system.gre import offload
from tests.root.gre_world import (
    BEHIND,
    INNER,
    MACS,
    OUTER,
    World,
    eventually,
    overhead,
    world,
)
from tests.root.test_gre_carry import DATA, stream

pytestmark = pytest.mark.root
NARROW = 1400
PROBE = {4: (socket.IPPROTO_IP, 10, 14), 6: (socket.IPPROTO_IPV6, 23, 24)}
"""Level, IP_MTU_DISCOVER, IP_MTU."""
HEADER = {4: 28, 6: 48}


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def learns(w: World, where: str, family: int, target: str, wanted: int) -> None:
    """The stack of `where` learns exactly this by sending what it thinks may pass, unfragmented."""
    level, discover, mtu = PROBE[family]
    with w.udp(where, family) as sock:
        sock.setsockopt(level, discover, 2)
        sock.connect((target, 9))

        def arrived() -> bool:
            with contextlib.suppress(OSError):
                sock.send(bytes(sock.getsockopt(level, mtu) - HEADER[family]))
            return sock.getsockopt(level, mtu) <= wanted

        eventually(arrived, f"path MTU {wanted}")
        assert sock.getsockopt(level, mtu) == wanted


@pytest.mark.parametrize(("family", "key"), [(4, None), (4, 7), (6, None)])
def test_narrow_path(w: World, family: int, key: int | None) -> None:
    w.tunnel(family=family, key=key)
    w.routes_inside()
    # h may send 1500: its first hop has more room than the tunnel. b sees its own link shrink, and
    # the same plan again fits the tunnel into it.
    w.ip("r", f"link set rb mtu {NARROW}")
    w.ip("b", f"link set ub mtu {NARROW}")
    inside = NARROW - overhead(family, key)
    assert w.create("b", family=family, key=key)
    assert w.at("b", lambda: w.backend("b").mtu("t")) == inside
    for inner in (4, 6):
        learns(w, "h", inner, BEHIND[inner], inside)
        learns(w, "a", inner, INNER["b"][inner], inside)
    assert w.at("a", lambda: w.backend("a").mtu("t")) == inside
    counted = w.counters("a")
    assert counted.too_big_sent > 0
    assert counted.too_big_received > 0
    # those that fit pass, on the next attempt and in one piece
    assert len(w.echo(4, inside - 28, behind=True)) == inside - 28
    assert len(w.echo(6, inside - 48, behind=True)) == inside - 48
    # what may be fragmented is, once the interface has followed
    assert w.at("a", lambda: w.backend("a").refresh()) == {"t": inside}
    assert w.at("a", lambda: w.backend("a").refresh()) == {}
    assert len(w.echo(4, 3000, behind=True)) == 3000
    # a whole TCP transfer finds its way, aggregates and all
    assert stream(w, "h", BEHIND[4], 4, 1 << 20) == DATA[: 1 << 20]
    assert stream(w, "h", BEHIND[6], 6, 1 << 20) == DATA[: 1 << 20]


def test_tcp_aggregates_are_told(w: World) -> None:
    # the very first full segments leave h as one aggregate and are refused as one
    w.tunnel()
    w.routes_inside()
    w.ip("r", f"link set rb mtu {NARROW}")
    for family in (4, 6):
        assert stream(w, "h", BEHIND[family], family, len(DATA)) == DATA
    assert w.counters("a").too_big_sent >= 2


def message(w: World, family: int, frame: bytes) -> Any:
    """The message that h gets about the frame; h's stack is not involved."""
    eye = w.eye("h", "hh")
    w.throw("h", "hh", frame)
    proto = {4: (23, 1), 6: (20, 58)}[family]
    return Ether(eye.one(lambda f: f[proto[0]] == proto[1] and len(f) > 100)).payload


@pytest.mark.parametrize("family", [4, 6])
def test_message(w: World, family: int) -> None:
    w.tunnel()
    w.routes_inside()
    backend: Any = w.backend("a")
    state = backend._plane.states[1]
    state["pmtu_until"], state["pmtu"] = time.monotonic_ns() + 10**12, 1290
    head = Ether(dst=MACS["ha"], src=MACS["hh"])
    if family == 4:
        packet = IP(src="10.1.0.2", dst=BEHIND[4], flags="DF", ttl=9) / UDP(dport=9) / bytes(1300)
    else:
        packet = IPv6(src="2001:db8:1::2", dst=BEHIND[6], hlim=9) / UDP(dport=9) / bytes(1300)
    got = message(w, family, bytes(head / packet))
    assert (got.src, got.dst) == (BEHIND[family], packet.src)
    icmp = got.payload
    if family == 4:
        assert isinstance(icmp, ICMP)
        assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, 1290)
        assert got.len == 20 + 8 + 128
        again = IP(bytes(got))
        del again.chksum, again[ICMP].chksum
        packet.ttl = 8
    else:
        assert isinstance(icmp, ICMPv6PacketTooBig)
        assert (icmp.code, icmp.mtu) == (0, 1290)
        assert got.plen == 8 + 128
        again = IPv6(bytes(got))
        del again[ICMPv6PacketTooBig].cksum
        packet.hlim = 8
    assert bytes(again.__class__(bytes(again))) == bytes(got), "a checksum is wrong"
    header = 28 if family == 4 else 48
    assert bytes(got)[header:] == bytes(packet)[:128]


@pytest.mark.parametrize("family", [4, 6])
def test_message_about_an_unfinished_checksum(w: World, family: int) -> None:
    # TCP of a neighbour on the same host leaves its checksum to hardware (CHECKSUM_PARTIAL), as
    # what GRO has merged does. The message made of it goes out where the stack has to fill it in.
    w.tunnel()
    w.routes_inside()
    w.at("a", lambda: offload.set_features("ha", {"tx-checksum-ip-generic": False}))
    w.ip("r", f"link set rb mtu {NARROW}")
    eye = w.eye("h", "hh")
    assert stream(w, "h", BEHIND[family], family, 1 << 20) == DATA[: 1 << 20]
    # told by the data plane: the interface's own MTU is larger
    mtu = (NARROW - 24).to_bytes(4, "big")
    if family == 4:
        frame = eye.one(lambda f: f[23:24] == b"\1" and f[34:36] == b"\3\4" and f[38:42] == mtu)
        again: Any = IP(frame[14:])
        del again[ICMP].chksum
    else:
        frame = eye.one(lambda f: f[20:21] == b"\x3a" and f[54:56] == b"\2\0" and f[58:62] == mtu)
        again = IPv6(frame[14:])
        del again[ICMPv6PacketTooBig].cksum
    assert bytes(again) == frame[14:]


def test_no_messages_about_messages(w: World) -> None:
    w.tunnel()
    w.routes_inside()
    backend: Any = w.backend("a")
    state = backend._plane.states[1]
    state["pmtu_until"], state["pmtu"] = time.monotonic_ns() + 10**12, 1290
    head = Ether(dst=MACS["ha"], src=MACS["hh"])
    fields = {"src": "10.1.0.2", "dst": BEHIND[4], "flags": "DF"}
    six = {"src": "2001:db8:1::2", "dst": BEHIND[6]}
    silent = [
        IP(**fields) / ICMP(type=3, code=1) / bytes(1300),
        IP(**(fields | {"frag": 100})) / bytes(1300),
        IP(src="10.1.0.2", dst=BEHIND[4]) / UDP(dport=9) / bytes(1300),
        IPv6(**six, nh=58) / (b"\x01\0\0\0" + bytes(1300)),
    ]
    w.throw("h", "hh", *(bytes(head / packet) for packet in silent))
    counted = w.counters("a")
    assert counted.drops == {"tx_too_big": len(silent)}
    assert counted.too_big_sent == 0
    # and no more than one a millisecond: of a burst, not all
    burst = bytes(head / IP(**fields) / UDP(dport=9) / bytes(1300))
    w.throw("h", "hh", *[burst] * 500)
    assert 1 <= w.counters("a").too_big_sent < 500


def frag_needed(mtu: int, key: int | None, *, length: int = 1500, **quoted: Any) -> Any:
    ends = {"src": OUTER["a"][4], "dst": OUTER["b"][4], "proto": 47, "flags": "DF", "len": length}
    keyed = {} if key is None else {"key_present": 1, "key": key}
    inside = bytes(IP(**(ends | quoted)) / GRE(**keyed))[: 20 + 8].ljust(28, b"\0")
    return IP(src="192.0.2.254", dst=OUTER["a"][4]) / ICMP(type=3, code=4, nexthopmtu=mtu) / inside


def hear(w: World, packet: Any) -> int:
    """The tunnel's MTU after a has heard the packet."""
    eye, mark = w.eye("a", "ua"), os.urandom(16)
    head = Ether(dst=MACS["ua"], src=MACS["ra"])
    end = head / IP(src="192.0.2.254", dst=OUTER["a"][4]) / UDP(dport=9) / mark
    w.throw("r", "ra", bytes(head / packet), bytes(end))
    eye.one(lambda frame: mark in frame)
    return w.at("a", lambda: w.backend("a").mtu("t"))


def test_only_the_truth_is_believed(w: World) -> None:
    w.tunnel(key=7)
    full = 1500 - 28
    assert hear(w, frag_needed(1400, 8)) == full, "another key"
    assert hear(w, frag_needed(1400, None)) == full, "no key"
    assert hear(w, frag_needed(1400, 7, dst="198.51.100.9")) == full, "another peer"
    assert hear(w, frag_needed(1400, 7, src="192.0.2.9")) == full, "another source"
    assert hear(w, frag_needed(1400, 7, proto=4)) == full, "another protocol"
    assert hear(w, frag_needed(1400, 7, length=1400)) == full, "it would have fitted"
    assert hear(w, frag_needed(1501, 7, length=1600)) == full, "not lower"
    wrong = frag_needed(1400, 7)
    wrong[ICMP].code = 1
    assert hear(w, wrong) == full, "host unreachable"
    astray = frag_needed(1400, 7)
    astray.dst = "10.1.0.1"
    assert hear(w, astray) == full, "told to another address than had sent it"
    assert w.counters("a").too_big_received == 0

    assert hear(w, frag_needed(1400, 7)) == 1400 - 28
    assert hear(w, frag_needed(1450, 7)) == 1400 - 28, "it only lowers"
    assert hear(w, frag_needed(0, 7, length=1400)) == 1006 - 28, "no value: the next plateau"
    assert hear(w, frag_needed(68, 7)) == 576 - 28, "no lower than the floor"
    assert w.counters("a").too_big_received == 3

    backend: Any = w.backend("a")
    state = backend._plane.states[1]
    left_s = (int(state["pmtu_until"]) - time.monotonic_ns()) / 1e9
    assert 590 < left_s <= 600
    assert w.at("a", backend.refresh) == {"t": 1280}, "IPv6 keeps its least MTU"
    # ten minutes later
    state["pmtu_until"] = time.monotonic_ns() - 1
    assert backend.mtu("t") == full
    assert w.at("a", backend.refresh) == {"t": full}
    assert len(w.echo(4, full - 28)) == full - 28
    assert int(state["pmtu"]) == 0


def test_ipv6_underlay_floor(w: World) -> None:
    w.tunnel(family=6)
    inside = bytes(IPv6(src=OUTER["a"][6], dst=OUTER["b"][6], nh=47, plen=1460) / GRE())
    packet = IPv6(src="2001:db8:a::fe", dst=OUTER["a"][6])
    head = Ether(dst=MACS["ua"], src=MACS["ra"])

    def told(mtu: int, quoted: bytes = inside) -> int:
        frame = bytes(head / packet / ICMPv6PacketTooBig(mtu=mtu) / quoted)
        w.throw("r", "ra", frame)
        return w.at("a", lambda: w.backend("a").mtu("t"))

    stranger = bytes(IPv6(src=OUTER["a"][6], dst="2001:db8:b::9", nh=47, plen=1460) / GRE())
    assert told(1400, stranger) == 1456
    assert told(1400) == 1356
    assert told(600) == 1280 - 44
