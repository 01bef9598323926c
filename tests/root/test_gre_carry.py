"""The eBPF tunnel carries what it should, with the headers it should, and counts it exactly."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether

from bongsu.system import netns
from tests.root.gre_world import BEHIND, INNER, OUTER, World, overhead, world

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def outer_of(frame: bytes, mark: bytes) -> Any:
    return Ether(frame).payload if mark in frame else None


@pytest.mark.parametrize("key", [None, 0, 0xDEADBEEF])
@pytest.mark.parametrize("family", [4, 6])
def test_headers(w: World, family: int, key: int | None) -> None:
    w.tunnel(family=family, key=key, ttl=77)
    for inner in (4, 6):
        eye, mark = w.eye("r", "ra"), os.urandom(16)
        with w.udp("a", inner) as near, w.udp("b", inner) as far:
            far.bind((INNER["b"][inner], 7))
            level, option = (socket.IPPROTO_IP, socket.IP_TOS)
            if inner == 6:
                level, option = socket.IPPROTO_IPV6, socket.IPV6_TCLASS
            near.setsockopt(level, option, 0xBA)  # DSCP 46, ECT(0)
            near.sendto(mark, (INNER["b"][inner], 7))
            assert far.recv(100) == mark
        outer = Ether(eye.one(lambda frame, m=mark: m in frame)).payload
        assert (outer.src, outer.dst) == (OUTER["a"][family], OUTER["b"][family])
        if family == 4:
            assert isinstance(outer, IP)
            assert (outer.tos, outer.ttl, str(outer.flags), outer.frag) == (0xBA, 77, "DF", 0)
            sum_seen = outer.chksum
            del outer.chksum
            assert IP(bytes(outer)).chksum == sum_seen
        else:
            assert isinstance(outer, IPv6)
            assert (outer.tc, outer.hlim) == (0xBA, 77)
        gre = outer.payload
        assert isinstance(gre, GRE)
        assert gre.proto == (0x0800 if inner == 4 else 0x86DD)
        assert (gre.key_present, gre.chksum_present, gre.seqnum_present) == (key is not None, 0, 0)
        assert gre.key == key
        assert len(bytes(outer)) == overhead(family, key) + (28 if inner == 4 else 48) + 16
        assert gre.payload.payload.getlayer(UDP).dport == 7


@pytest.mark.parametrize("key", [None, 7])
@pytest.mark.parametrize("family", [4, 6])
def test_sizes_and_counters(w: World, family: int, key: int | None) -> None:
    w.tunnel(family=family, key=key)
    room = 1500 - overhead(family, key)
    for inner, header in ((4, 28), (6, 48)):
        sizes = [0, 1, 3, 11, 12, 19, 20, 21, 100, 1280 - header, room - header]
        before = [w.counters(where) for where in "ab"]
        for size in sizes:
            assert len(w.echo(inner, size)) == size
        after = [w.counters(where) for where in "ab"]
        packets, data = len(sizes), sum(size + header for size in sizes)
        for old, new in zip(before, after, strict=True):
            assert new.tx_packets - old.tx_packets == packets
            assert new.rx_packets - old.rx_packets == packets
            assert new.tx_bytes - old.tx_bytes == data
            assert new.rx_bytes - old.rx_bytes == data
            assert new.drops == {}


def test_fragments_inside(w: World) -> None:
    # larger than the tunnel: the stack fragments, each fragment is a packet of its own
    w.tunnel()
    assert len(w.echo(4, 4000)) == 4000
    assert w.counters("a").tx_packets == 3
    assert w.counters("a").tx_bytes == 4000 + 8 + 3 * 20


def stream(w: World, where: str, target: str, family: int, size: int) -> bytes:
    """Sends `size` bytes by TCP from `where` to b; what b got."""
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    got: list[bytes] = []
    with netns.socket_in(w.ns("b"), af, socket.SOCK_STREAM) as server:
        server.bind((target, 5001))
        server.listen(1)
        server.settimeout(20)

        def take() -> None:
            peer, _ = server.accept()
            peer.settimeout(20)
            with peer:
                while data := peer.recv(1 << 20):
                    got.append(data)

        taker = threading.Thread(target=take)
        taker.start()
        with netns.socket_in(w.ns(where), af, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect((target, 5001))
            client.sendall(DATA[:size])
        taker.join()
    return b"".join(got)


DATA = os.urandom(1 << 16) * 256  # 16 MiB


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize(("family", "key"), [(4, None), (6, 9)])
def test_tcp_aggregates(w: World, family: int, key: int | None, inner: int) -> None:
    w.tunnel(family=family, key=key)
    w.routes_inside()
    eye = w.eye("r", "ra")
    assert stream(w, "a", INNER["b"][inner], inner, len(DATA)) == DATA
    frames = eye.until(lambda frame: len(frame) > 20000)
    assert len(frames[-1]) > 20000, "no aggregate crossed: segmentation offload is lost"
    assert stream(w, "h", BEHIND[inner], inner, len(DATA)) == DATA
    near, far = w.counters("a"), w.counters("b")
    assert (near.tx_packets, near.tx_bytes) == (far.rx_packets, far.rx_bytes)
    assert (far.tx_packets, far.tx_bytes) == (near.rx_packets, near.rx_bytes)
    assert near.drops == far.drops == {}
    # every segment's headers are counted, as on the wire: 32 bytes of TCP, 20 or 40 of IP
    header = 52 if inner == 4 else 72
    segment = 1500 - overhead(family, key) - header
    assert near.tx_packets >= 2 * len(DATA) / segment
    assert near.tx_bytes >= 2 * len(DATA) + near.tx_packets * header - 5000


@pytest.mark.parametrize("second", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_from_tunnel_to_tunnel(w: World, second: int, inner: int) -> None:
    # What left one tunnel enters another: a -> b over IPv4, back to a over either family.
    w.tunnel(family=4)
    w.routes_inside()
    addresses = {"addresses": [], "name": "u", "family": second, "key": 3}
    w.create("a", **addresses)
    w.create("b", **addresses)
    w.ip("a", "addr add 10.3.0.1/32 dev lo", "addr add fd00:3::1/128 dev lo")
    w.ip("h", "route add 10.3.0.1 via 10.1.0.1", "route add fd00:3::1 via 2001:db8:1::1")
    target = {4: "10.3.0.1", 6: "fd00:3::1"}[inner]
    # what comes from h is routed into the tunnel, though the address is a's own
    w.ip(
        "a",
        "rule add pref 10 iif ha lookup 77",
        "rule add pref 20 lookup local",
        "rule del pref 0",
        f"route add {target} dev t table 77",
        family=inner,
    )
    w.ip("b", f"route add {target} dev u", family=inner)
    for conf in ("all", "u", "t"):
        for where in "ab":
            w.at(where, lambda c=conf: _no_filter(c))
    af = socket.AF_INET if inner == 4 else socket.AF_INET6
    with w.udp("h", inner) as near, netns.socket_in(w.ns("a"), af, socket.SOCK_DGRAM) as far:
        far.settimeout(10)
        far.bind((target, 9))
        for size in (0, 10, 1000):
            mark = os.urandom(size)
            near.sendto(mark, (target, 9))
            assert far.recv(2000) == mark
    counted = w.counters("b", "u")
    assert (counted.tx_packets, counted.drops) == (3, {})
    assert w.counters("a", "u").rx_packets == 3


def _no_filter(name: str) -> None:
    path = Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter")
    if path.exists():
        path.write_text("0")
