"""The rendered nftables and sysctl files of a PoP against real packets, wanted and unwanted.

Three namespaces: the PoP with its uplink and its tunnel (a veth here), the world, and home.
"""

import json
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from bongsu.render import render_node
from bongsu.render.sysctl.render import settings
from bongsu.system import netns
from bongsu.system.run import run
from tests.golden.networks import plans

pytestmark = pytest.mark.root

POP, WORLD, HOME = "bst-render-nft-pop", "bst-render-nft-world", "bst-render-nft-home"
UPLINK, TUNNEL = "ens3", "gre-seoul"
US, PEER, HOST, FAR = "203.0.113.10", "192.0.2.10", "103.178.34.10", "198.18.0.1"
INSIDE_US, INSIDE_PEER = "10.99.1.1", "10.99.1.2"
ICMP, TCP, UDP, GRE = 1, 6, 17, 47
DEADLINE_S = 5


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(source: str, destination: str, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, ttl, protocol, 0)
    return head[:10] + struct.pack("!H", checksum(head + addresses)) + addresses + payload


def gre(flags: int, *words: int, inner: bytes = b"", kind: int = 0x0800) -> bytes:
    return struct.pack(f"!HH{len(words)}I", flags, kind, *words) + inner


def udp(port: int) -> bytes:
    return struct.pack("!HHHH", 49152, port, 8, 0)


def tcp(source: int, destination: int, *, mss: int | None = None) -> bytes:
    options = b"" if mss is None else struct.pack("!BBH", 2, 4, mss)
    offset = (5 + len(options) // 4) << 4
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, offset, 2, 1000, 0, 0) + options


def icmp(kind: int, code: int = 0) -> bytes:
    head = struct.pack("!BBHI", kind, code, 0, 1)
    return struct.pack("!BBHI", kind, code, checksum(head), 1)


class Wires:
    """Packet sockets at the far ends of the PoP's uplink and tunnel."""

    def __init__(self) -> None:
        self.macs = {
            interface: json.loads(run(["ip", "-j", "link", "show", interface], netns=POP).stdout)[
                0
            ]["address"]
            for interface in (UPLINK, TUNNEL)
        }
        self.sockets = {}
        for interface, namespace in ((UPLINK, WORLD), (TUNNEL, HOME)):
            wire = netns.socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW, 0x0008)
            wire.bind(("far", 0x0800))
            wire.settimeout(DEADLINE_S)
            self.sockets[interface] = wire

    def send(self, interface: str, packet: bytes) -> None:
        mac = bytes.fromhex(self.macs[interface].replace(":", ""))
        self.sockets[interface].send(mac + b"\2\0\0\0\0\1" + b"\x08\x00" + packet)

    def arrives(self, interface: str, source: str, destination: str) -> bytes:
        """The IP payload of the next packet between the two addresses; fails after DEADLINE_S."""
        wanted = socket.inet_aton(source) + socket.inet_aton(destination)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            packet = self.sockets[interface].recv(2000)[14:]
            if packet[12:20] == wanted:
                return packet[20:]
        raise AssertionError("it did not arrive")

    def dropped(self, interface: str, packet: bytes) -> str:
        """Name of the counter that the packet raises."""
        before = counters()
        self.send(interface, packet)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            raised = [name for name, count in counters().items() if count != before[name]]
            if raised:
                return " ".join(raised)
        return "nothing"


def counters() -> dict[str, int]:
    listed = json.loads(run(["nft", "-j", "list", "counters"], netns=POP).stdout)["nftables"]
    return {
        item["counter"]["name"]: item["counter"]["packets"] for item in listed if "counter" in item
    }


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    for name in (POP, WORLD, HOME):
        netns.remove(name)
        netns.create(name)
    try:
        for interface, namespace, address, peer in (
            (UPLINK, WORLD, f"{US}/24", "203.0.113.1"),
            (TUNNEL, HOME, f"{INSIDE_US}/24", INSIDE_PEER),
        ):
            run(
                ["ip", "link", "add", interface, "type", "veth", "peer", "far", "netns", namespace],
                netns=POP,
            )
            run(["ip", "addr", "add", address, "dev", interface], netns=POP)
            run(["ip", "link", "set", interface, "up"], netns=POP)
            run(["ip", "link", "set", "far", "up"], netns=namespace)
            run(
                ["ip", "neigh", "add", peer, "lladdr", "02:00:00:00:00:01", "dev", interface],
                netns=POP,
            )
        run(["ip", "route", "add", "default", "via", "203.0.113.1"], netns=POP)
        run(["ip", "route", "add", "103.178.34.0/23", "via", INSIDE_PEER], netns=POP)
        plan = plans("anycast")["seoul"]
        for setting in settings(plan):
            if not setting.optional:
                run(["sysctl", "-qw", f"{setting.key}={setting.value}"], netns=POP)
        run(["nft", "add", "table", "inet", "mine"], netns=POP)
        rules = render_node(plan)["/etc/nftables.d/60-bongsu.nft"]
        for _ in range(2):
            run(["nft", "-f", "-"], input=rules, netns=POP)
        yield Wires()
    finally:
        for name in (POP, WORLD, HOME):
            netns.remove(name)


def test_others_tables_stay(wires: Wires) -> None:
    assert "table inet mine" in run(["nft", "list", "tables"], netns=POP).stdout


def test_gre_of_the_peer_with_its_key_arrives(wires: Wires) -> None:
    with netns.socket_in(POP, socket.AF_INET, socket.SOCK_RAW, GRE) as receiver:
        receiver.settimeout(DEADLINE_S)
        wires.send(UPLINK, ip(PEER, US, GRE, gre(0x2000, 1)))
        assert receiver.recv(100)[20:24] == b"\x20\x00\x08\x00"
        # The reflected keepalive has no protocol but the same key.
        wires.send(UPLINK, ip(PEER, US, GRE, gre(0x2000, 1, kind=0)))
        assert receiver.recv(100)[20:24] == b"\x20\x00\x00\x00"


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ip(PEER, US, GRE, gre(0x2000, 2)), id="another key"),
        pytest.param(ip(PEER, US, GRE, gre(0x0000)), id="no key"),
        pytest.param(ip(PEER, US, GRE, gre(0x0000, 1)), id="a key that is not flagged"),
        pytest.param(ip(PEER, US, GRE, gre(0xA000, 1, 1)), id="checksum"),
        pytest.param(ip(PEER, US, GRE, gre(0x3000, 1, 1)), id="sequence number"),
        pytest.param(ip(PEER, US, GRE, gre(0x2001, 1)), id="version 1, PPTP"),
        pytest.param(ip(FAR, US, GRE, gre(0x2000, 1)), id="another source"),
        pytest.param(ip(PEER, INSIDE_US, GRE, gre(0x2000, 1)), id="another address of ours"),
        pytest.param(ip(PEER, "224.0.0.9", GRE, gre(0x2000, 1)), id="multicast"),
        pytest.param(ip(PEER, US, GRE, b""), id="no header"),
    ],
)
def test_other_gre_is_dropped(wires: Wires, packet: bytes) -> None:
    assert wires.dropped(UPLINK, packet) == "gre_foreign"


def test_gre_of_hosts_behind_us_is_their_own(wires: Wires) -> None:
    wires.send(UPLINK, ip(FAR, HOST, GRE, gre(0x3001, 5, 5)))
    assert wires.arrives(TUNNEL, FAR, HOST)[:2] == b"\x30\x01"


def test_the_prefix_passes_both_ways(wires: Wires) -> None:
    wires.send(UPLINK, ip(FAR, HOST, UDP, udp(53)))
    assert wires.arrives(TUNNEL, FAR, HOST) == udp(53)
    wires.send(TUNNEL, ip(HOST, FAR, UDP, udp(53)))
    assert wires.arrives(UPLINK, HOST, FAR) == udp(53)


@pytest.mark.parametrize(
    ("counter", "interface", "packet"),
    [
        ("inner_source_foreign", TUNNEL, ip(FAR, "198.18.0.2", UDP, udp(53))),
        ("inner_source_foreign", TUNNEL, ip("103.178.36.1", FAR, UDP, udp(53))),
        ("tunnel_to_uplink", TUNNEL, ip(INSIDE_PEER, FAR, UDP, udp(53))),
        ("tunnel_to_tunnel", TUNNEL, ip(HOST, "103.178.35.1", UDP, udp(53))),
        ("into_tunnel", UPLINK, ip(FAR, INSIDE_PEER, UDP, udp(53))),
        ("spoofed", UPLINK, ip("103.178.35.1", HOST, UDP, udp(53))),
        ("bgp_foreign", UPLINK, ip(FAR, US, TCP, tcp(1024, 179))),
        ("bgp_foreign", UPLINK, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(1024, 179))),
        ("bgp_foreign", TUNNEL, ip(HOST, INSIDE_US, TCP, tcp(1024, 179))),
        ("bfd_foreign", UPLINK, ip(FAR, US, UDP, udp(3784), ttl=255)),
        ("bfd_foreign", UPLINK, ip(FAR, US, UDP, udp(4784), ttl=255)),
        ("bfd_foreign", TUNNEL, ip(INSIDE_PEER, INSIDE_US, UDP, udp(3784), ttl=254)),
        ("tunnel_input", TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(1024, 22))),
        ("tunnel_input", TUNNEL, ip(HOST, US, UDP, udp(53))),
        ("tunnel_input", TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(179, 22))),
        ("redirects", TUNNEL, ip(INSIDE_PEER, INSIDE_US, ICMP, icmp(5))),
        # Keepalives that are not exactly the peer's.
        ("inner_source_foreign", TUNNEL, ip(US, FAR, GRE, gre(0x2000, 1, kind=0))),
        ("inner_source_foreign", TUNNEL, ip(US, PEER, UDP, udp(53))),
    ],
)
def test_dropped(wires: Wires, counter: str, interface: str, packet: bytes) -> None:
    assert wires.dropped(interface, packet) == counter


def test_bfd_and_bgp_of_the_peer_arrive(wires: Wires) -> None:
    with netns.socket_in(POP, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((INSIDE_US, 3784))
        receiver.settimeout(DEADLINE_S)
        wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, UDP, udp(3784), ttl=255))
        assert receiver.recv(10) == b""
    before = counters()
    # Nobody listens: the answer is a reset, which proves that the SYN reached the stack.
    segment = bytearray(tcp(1024, 179))
    pseudo = (
        socket.inet_aton(INSIDE_PEER) + socket.inet_aton(INSIDE_US) + struct.pack("!HH", TCP, 20)
    )
    segment[16:18] = struct.pack("!H", checksum(pseudo + bytes(segment)))
    wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, bytes(segment)))
    assert wires.arrives(TUNNEL, INSIDE_US, INSIDE_PEER)[13] & 4
    assert counters() == before


def test_ping_of_the_inside_address_is_answered(wires: Wires) -> None:
    wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, ICMP, icmp(8)))
    assert wires.arrives(TUNNEL, INSIDE_US, INSIDE_PEER)[0] == 0


def test_the_peers_keepalive_goes_back(wires: Wires) -> None:
    wires.send(TUNNEL, ip(US, PEER, GRE, gre(0x2000, 1, kind=0)))
    assert wires.arrives(UPLINK, US, PEER) == gre(0x2000, 1, kind=0)


@pytest.mark.parametrize(("offered", "left"), [(1460, 1432), (1432, 1432), (536, 536)])
def test_mss_is_lowered_to_the_tunnels_and_never_raised(
    wires: Wires, offered: int, left: int
) -> None:
    wires.send(UPLINK, ip(FAR, HOST, TCP, tcp(1024, 80, mss=offered)))
    assert wires.arrives(TUNNEL, FAR, HOST)[20:24] == struct.pack("!BBH", 2, 4, left)
    wires.send(TUNNEL, ip(HOST, FAR, TCP, tcp(1024, 80, mss=offered)))
    assert wires.arrives(UPLINK, HOST, FAR)[20:24] == struct.pack("!BBH", 2, 4, left)
