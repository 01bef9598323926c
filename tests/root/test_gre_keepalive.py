"""Cisco's keepalive and the line: answered exactly, whatever the line; data only while it is up."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE

from bongsu.system import netns
from tests.root.gre_world import INNER, OUTER, World, eventually, world

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def header(family: int, source: str, target: str, ttl: int = 255) -> Any:
    if family == 4:
        return IP(src=OUTER[source][4], dst=OUTER[target][4], ttl=ttl, id=4711, tos=0xC0)
    return IPv6(src=OUTER[source][6], dst=OUTER[target][6], hlim=ttl, tc=0xC0)


def keepalive(family: int, key: int | None, ttl: int = 255, keyed: bool = True) -> Any:
    """a's keepalive for b: the answer is inside."""
    outside = {} if key is None else {"key_present": 1, "key": key}
    answer = header(family, "b", "a", ttl) / GRE(proto=0, **(outside if keyed else {}))
    return header(family, "a", "b") / GRE(**outside) / answer


def answers(w: World, family: int, *packets: Any) -> list[bytes]:
    """What b sends back to the router for these, up to the echo of a marker."""
    eye, mark = w.eye("r", "rb"), os.urandom(8)
    with netns.socket_in(w.ns("b"), socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((OUTER["b"][4], 99))
        far.settimeout(10)
        end = IP(src="198.51.100.254", dst=OUTER["b"][4]) / UDP(sport=98, dport=99) / mark
        w.throw("r", "rb", *w.frames_to_b(*packets, end))
        far.recvfrom(100)
        far.sendto(mark, ("198.51.100.254", 98))
    frames = [frame[14:] for frame in eye.until(lambda frame: mark in frame)[:-1]]
    return [f for f in frames if f[9 if f[0] >> 4 == 4 else 6] == 47]


@pytest.mark.parametrize("key", [None, 7])
@pytest.mark.parametrize("family", [4, 6])
def test_reflected(w: World, family: int, key: int | None) -> None:
    w.tunnel(family=family, key=key)
    sent = keepalive(family, key)
    inside = sent.payload.payload.copy()
    setattr(inside, "ttl" if family == 4 else "hlim", 254)
    eye = w.eye("b", "t")
    assert answers(w, family, sent) == [bytes(inside)], "byte for byte, one hop older"
    # MikroTik and others leave the key out of the answer
    bare = keepalive(family, key, keyed=False)
    expected = bare.payload.payload.copy()
    setattr(expected, "ttl" if family == 4 else "hlim", 254)
    assert answers(w, family, bare) == [bytes(expected)]
    assert w.counters("b").keepalives_reflected == 2
    assert w.counters("b").rx_packets == 0, "none of it is data"
    mark = os.urandom(9)
    body = IP(src=INNER["a"][4], dst=INNER["b"][4]) / UDP(dport=9) / mark
    keyed = {} if key is None else {"key_present": 1, "key": key}
    w.throw("r", "rb", *w.frames_to_b(header(family, "a", "b") / GRE(**keyed) / body))
    assert len(eye.until(lambda frame: mark in frame)) == 1, "the stack saw no keepalive"


def test_not_reflected(w: World) -> None:
    w.tunnel(key=7)
    outside = {"key_present": 1, "key": 7}
    good = header(4, "a", "b") / GRE(**outside)
    others = {
        "another target": IP(src=OUTER["b"][4], dst="203.0.113.1") / GRE(proto=0),
        "another source": IP(src="203.0.113.1", dst=OUTER["a"][4]) / GRE(proto=0),
        "another key": header(4, "b", "a") / GRE(proto=0, key_present=1, key=8),
        "not empty": header(4, "b", "a") / GRE(proto=0x0800) / IP(),
        "no GRE": header(4, "b", "a") / UDP(),
        "a fragment": IP(src=OUTER["b"][4], dst=OUTER["a"][4], flags="MF") / GRE(proto=0),
        "wrong checksum": IP(src=OUTER["b"][4], dst=OUTER["a"][4], chksum=1) / GRE(proto=0),
    }
    for name, inside in others.items():
        # the stack would route them back itself; that it does not is its own martian check
        assert answers(w, 4, good / inside) == [], name
    assert answers(w, 4, keepalive(4, 7, ttl=1)) == []
    assert w.counters("b").drops["rx_ttl"] == 1
    strange = IP(src="192.0.2.9", dst=OUTER["b"][4]) / GRE(**outside) / header(4, "b", "a")
    assert answers(w, 4, strange / GRE(proto=0)) == [], "from a stranger"
    assert w.counters("b").keepalives_reflected == 0


def test_answers_reach_a_raw_socket(w: World) -> None:
    w.tunnel()
    w.set_line("b", False)
    with netns.socket_in(w.ns("b"), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE) as raw:
        raw.settimeout(10)
        answer = header(4, "a", "b") / GRE(proto=0)
        w.throw("r", "rb", *w.frames_to_b(answer))
        assert raw.recv(100) == bytes(answer)
    assert w.counters("b").keepalives_received == 1


@pytest.mark.parametrize("family", [4, 6])
def test_line_down(w: World, family: int) -> None:
    w.tunnel(family=family)
    backend = w.backend("b")
    assert w.at("b", lambda: backend.line("t"))
    w.set_line("b", False)
    assert not w.at("b", lambda: backend.line("t"))
    eventually(lambda: not carrier(w, "b"), "no carrier")
    # nothing comes out of it
    mark, eye = os.urandom(9), w.eye("b", "t")
    body = IP(src=INNER["a"][4], dst=INNER["b"][4]) / UDP(dport=9) / mark
    packet = header(family, "a", "b") / GRE() / body
    before = w.counters("b")
    w.throw("r", "rb", *w.frames_to_b(*[packet] * 5))
    after = w.counters("b")
    assert after.drops["rx_line_down"] - before.drops.get("rx_line_down", 0) == 5
    assert after.rx_packets == before.rx_packets
    # keepalives do pass
    assert len(answers(w, family, keepalive(family, None))) == 1
    # the same plan changes nothing
    assert not w.create("b", family=family)
    assert not w.at("b", lambda: backend.line("t"))
    w.set_line("b", True)
    eventually(lambda: carrier(w, "b"), "carrier")
    w.throw("r", "rb", *w.frames_to_b(packet))
    assert len(eye.until(lambda frame: mark in frame)) == 1, "none of the five"
    assert w.echo(4)
    assert w.echo(6)


def carrier(w: World, where: str) -> bool:
    def look() -> bool:
        with IPRoute() as ipr:
            link = ipr.link("get", ifname="t")[0]
            return bool(link["flags"] & 0x10000)  # IFF_LOWER_UP, as BIRD looks at it

    return w.at(where, look)
