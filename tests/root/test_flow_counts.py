"""What the monitor counts is what the sender sent, to the last packet and octet."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether

from bongsu.protocol.flow.ledger import Ledger
from bongsu.protocol.flow.records import FLOW, joined
from bongsu.system.flow import layout
from bongsu.system.flow.choice import Choice, Filter
from tests.root.flow_world import ADDRESS, IN, MAC, OUT, Wire, counted, eventually, summed, wire

pytestmark = pytest.mark.root
UDP_SEGMENT, SOL_UDP, TCP_INFO = 103, 17, 11
HEADERS = {4: 20, 6: 40}
ONLY_UDP = Choice(filters=[Filter(protocol=17)])
"""The kernel's own multicast is not ours to add up."""


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def frame(packet: Any) -> bytes:
    return bytes(Ether(src=MAC["wn"], dst=MAC["wf"]) / packet)


@pytest.mark.parametrize("family", [4, 6])
def test_datagrams_and_their_aggregates(w: Wire, family: int) -> None:
    w.start()
    near, far = ADDRESS["near"][family], ADDRESS["far"][family]
    with (
        w.socket("near", family, socket.SOCK_DGRAM) as one,
        w.socket("far", family, socket.SOCK_DGRAM) as other,
    ):
        one.bind((near, 4000))
        other.bind((far, 5000))
        one.connect((far, 5000))
        other.connect((near, 4000))
        sizes = [0, 1, 17, 100, 1400]
        for size in sizes:
            one.send(bytes(size))
            other.recv(2000)
            other.send(bytes(size))
            other.send(bytes(size))
            one.recv(2000)
            one.recv(2000)
        # one buffer in the stack, five packets on the wire, the last of them short
        one.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        one.send(bytes(4321))
        for _ in range(5):
            other.recv(2000)
        flows = w.all()
    header = HEADERS[family] + 8
    data = sum(sizes) + header * len(sizes)
    there, back = (near, 4000, far, 5000, IN), (far, 5000, near, 4000, OUT)
    assert set(flows) == {there, back}
    assert counted(flows[there]) == (len(sizes) + 5, data + 4321 + 5 * header)
    assert counted(flows[back]) == (2 * len(sizes), 2 * data)
    assert flows[there]["first"] <= flows[there]["last"]
    assert w.monitor.stats()["malformed"] == 0


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection(w: Wire, family: int) -> None:
    """Sent in aggregates of up to 64 kB; TCP itself says how many segments they are."""
    w.start()
    near, far = ADDRESS["near"][family], ADDRESS["far"][family]
    total = 5_000_000
    with w.socket("far", family, socket.SOCK_STREAM) as server:
        server.bind((far, 5001))
        server.listen()
        with w.socket("near", family, socket.SOCK_STREAM) as client:
            client.bind((near, 4001))
            client.connect((far, 5001))
            served, _ = server.accept()
            with served:
                served.settimeout(30)
                client.setblocking(False)
                sent = received = 0
                while received < total:
                    with contextlib.suppress(BlockingIOError):
                        sent += client.send(bytes(min(1 << 16, total - sent)))
                    with contextlib.suppress(BlockingIOError):
                        received += len(served.recv(1 << 17, socket.MSG_DONTWAIT))

                def as_tcp_says() -> bool:
                    flows = w.all()
                    seen = counted(flows[near, 4001, far, 5001, IN])
                    answered = counted(flows[far, 5001, near, 4001, OUT])
                    return seen == expected(client, family) and answered == expected(
                        served, family, 1
                    )

                eventually(as_tcp_says, "both directions as TCP counts them")
                flows = w.all()
    ahead, back = flows[near, 4001, far, 5001, IN], flows[far, 5001, near, 4001, OUT]
    assert ahead["packets"] > total / 1500
    assert ahead["tcp_flags"] & 0x12 == 0x12
    for row in (ahead, back):
        assert 0 < row["rtt_us"] < 30_000_000


def expected(end: socket.socket, family: int, before: int = 0) -> tuple[int, int]:
    """Segments and octets that TCP says it has sent: SYN with 20 bytes of options, others with 12.

    `before`: a SYN-ACK, which is sent before there is a socket to count it.
    """
    info = end.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 256)
    (segments,) = struct.unpack_from("=I", info, 136)
    (data,) = struct.unpack_from("=Q", info, 200)
    segments += before
    return segments, data + segments * (HEADERS[family] + 32) + 8


def test_many_flows_in_a_small_cache(w: Wire) -> None:
    """Two sets for each processor: nearly every packet throws another flow out."""
    monitor = w.start(sets=2, spilled=4096)
    monitor.choose(ONLY_UDP)
    ledger, told = Ledger(), []
    rounds, ports = 5, 300
    for _ in range(rounds):
        packets = [
            frame(
                IP(src="198.51.100.9", dst="203.0.113.1") / UDP(sport=1000 + n, dport=9) / bytes(n)
            )
            for n in range(ports)
        ]
        w.throw("near", "wn", *packets, *packets[::2])
        reading = monitor.read()
        w.settled.append(reading.spilled)
        told.append(ledger.take(reading.spilled, reading.live, 10**9))
    flows = w.all()
    assert monitor.stats()["spilled"] > ports
    assert monitor.stats()["lost_records"] == 0
    reading = monitor.read()
    told.append(ledger.take(reading.spilled, reading.live, 10**9))
    changes = summed(joined(FLOW, *told))
    assert len(flows) == ports
    for n in range(ports):
        times = rounds * (2 if n % 2 == 0 else 1)
        key = ("198.51.100.9", 1000 + n, "203.0.113.1", 9, IN)
        assert counted(flows[key]) == (times, times * (28 + n))
        assert counted(changes[key]) == (times, times * (28 + n))


def test_a_full_table_says_what_it_lost(w: Wire) -> None:
    monitor = w.start(sets=1, spilled=16)
    monitor.choose(ONLY_UDP)
    sizes = range(500)
    head = IP(src="198.51.100.9", dst="203.0.113.1")
    w.throw("near", "wn", *(frame(head / UDP(sport=n, dport=9) / bytes(n)) for n in sizes))
    total = len(sizes), sum(28 + n for n in sizes)
    flows, stats = w.all(), monitor.stats()
    assert 0 < len(flows) < 500
    assert stats["lost_records"] > 0
    assert stats["lost_packets"] + sum(int(row["packets"]) for row in flows.values()) == total[0]
    assert stats["lost_bytes"] + sum(int(row["bytes"]) for row in flows.values()) == total[1]
    # the next reading finds room again
    w.throw("near", "wn", *(frame(head / UDP(sport=n, dport=9)) for n in range(12)))
    w.all()
    assert monitor.stats()["lost_records"] == stats["lost_records"]


@pytest.fixture
def one_processor() -> Iterator[None]:
    """Each processor has its own place for a flow: here all packets come by one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_processor")
def test_packets_run_over(w: Wire) -> None:
    """A place counts to 2^31; what it had then is in the table."""
    monitor = w.start()
    # what the stacks say of their own would be counted too
    monitor.choose(ONLY_UDP)
    packet = frame(IP(src="198.51.100.9", dst="203.0.113.1") / UDP(sport=1, dport=9))
    w.throw("near", "wn", packet)
    slots = monitor._cache._slots
    (where,) = np.flatnonzero(slots["packets"] == 1)
    slots["packets"][where] = layout.FULL - 2
    w.throw("near", "wn", packet, packet, packet)
    row = w.all()["198.51.100.9", 1, "203.0.113.1", 9, IN]
    assert counted(row) == (layout.FULL + 1, 4 * 28)
    assert slots["packets"][where] == 1


def test_a_tag(w: Wire) -> None:
    """The kernel takes it out of the packet before any filter sees it."""
    monitor = w.start()
    inside = IP(src="198.51.100.9", dst="203.0.113.1") / UDP(sport=1, dport=9)
    tagged = bytes(Ether(src=MAC["wn"], dst=MAC["wf"]) / Dot1Q(vlan=9) / inside)
    w.throw("near", "wn", tagged, frame(inside), frame(ARP()))
    flows = {int(row["vlan"]): counted(row) for row in monitor.read().live if row["proto"] == 17}
    assert flows == {0: (1, 28), 9: (1, 28)}
    assert monitor.stats()["other"] == 1


def test_a_link_without_a_header(w: Wire) -> None:
    monitor = w.start()
    tun = w.at("far", lambda: os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    try:
        w.at("far", lambda: fcntl.ioctl(tun, 0x400454CA, struct.pack("=16sH22x", b"tun0", 0x1001)))
        w.ip("far", "addr add 198.18.1.1/24 dev tun0", "link set tun0 up")
        number = w.at("far", lambda: monitor.watch("tun0"))
        os.write(
            tun, bytes(IP(src="198.18.1.2", dst="198.18.1.1") / UDP(sport=1, dport=2) / b"four")
        )
        os.write(tun, bytes(IPv6(src="2001:db8:1::2", dst="2001:db8:1::1") / UDP(sport=1, dport=2)))
        with w.socket("far", 4, socket.SOCK_DGRAM) as one:
            one.sendto(b"out", ("198.18.1.2", 5))
        rows = [row for row in monitor.read().live if row["ifindex"] == number]
        seen = {
            (int(r["family"]), int(r["direction"])): counted(r) for r in rows if r["proto"] == 17
        }
        assert seen == {(4, IN): (1, 32), (6, IN): (1, 48), (4, OUT): (1, 31)}
    finally:
        os.close(tun)


def test_extension_headers_and_fragments(w: Wire) -> None:
    monitor = w.start()
    monitor.choose(ONLY_UDP)
    head = IPv6(src="2001:db8:1::9", dst="2001:db8:2::1")
    options = head / IPv6ExtHdrDestOpt() / UDP(sport=3, dport=4) / bytes(10)
    first = (
        head
        / IPv6ExtHdrFragment(m=1, id=1, nh=17)
        / UDP(sport=5, dport=6, len=40, chksum=1)
        / bytes(8)
    )
    later = head / IPv6ExtHdrFragment(offset=2, id=1, nh=17) / bytes(24)
    four = IP(src="198.51.100.9", dst="203.0.113.1", frag=3, proto=17) / bytes(8)
    w.throw("near", "wn", *map(frame, (options, first, later, four)))
    flows = {key[:4]: (*counted(row), int(row["proto"])) for key, row in w.all().items()}
    assert flows == {
        ("2001:db8:1::9", 3, "2001:db8:2::1", 4): (1, 40 + 8 + 18, 17),
        ("2001:db8:1::9", 5, "2001:db8:2::1", 6): (1, 40 + 8 + 16, 17),
        ("2001:db8:1::9", 0, "2001:db8:2::1", 0): (1, 40 + 8 + 24, 17),
        ("198.51.100.9", 0, "203.0.113.1", 0): (1, 28, 17),
    }
