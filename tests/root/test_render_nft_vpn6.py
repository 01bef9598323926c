"""The filter of a VPN's gateway against real packets of IPv6, wanted and unwanted."""

import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from bongsu.render import render_node
from bongsu.system import netns
from bongsu.system.run import run
from tests.golden.networks import plans
from tests.root.packet_wires import ESP, Wires
from tests.root.test_render_nft import UDP, checksum

pytestmark = pytest.mark.root

GATEWAY = "bst-render-nftv6-gw"
WAN, LAN, TUNNEL = "eth0", "eth1", "six"
FAR = {name: f"bst-render-nftv6-{name}" for name in (WAN, LAN, TUNNEL)}
US, HEADEND, STRANGER = "2001:db8:1::10", "2001:db8:2::1", "2001:db8:9::9"
INSIDE_US, INSIDE_PEER = "fd00:1::1", "fd00:1::2"
OURS, HOST, CLOUD = "2001:db8:100::1", "2001:db8:100::10", "2001:db8:f000::5"
TCP, ICMP, HOP_BY_HOP, FRAGMENT = 6, 58, 0, 44


def ip(source: str, destination: str, kind: int, payload: bytes, hops: int = 64) -> bytes:
    ends = b"".join(ipaddress.ip_address(each).packed for each in (source, destination))
    return struct.pack("!IHBB", 6 << 28, len(payload), kind, hops) + ends + payload


def udp(port: int, source: str = "", destination: str = "") -> bytes:
    """A datagram without content; its checksum is right if both addresses are given."""
    head = struct.pack("!HHH", 49152, port, 8)
    if not source:
        return head + bytes(2)
    ends = b"".join(ipaddress.ip_address(each).packed for each in (source, destination))
    return head + struct.pack("!H", checksum(ends + struct.pack("!II", 8, UDP) + head))


def tcp(source: int, destination: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, 5 << 4, 2, 1000, 0, 0)


def behind(kind: int, inner: int, payload: bytes) -> bytes:
    """After an extension header of 8 bytes: hop-by-hop padding, or a first fragment."""
    rest = b"\1\4\0\0\0\0" if kind == HOP_BY_HOP else struct.pack("!HI", 1, 7)
    return bytes([inner, 0]) + rest + payload


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    names = (GATEWAY, *FAR.values())
    for name in names:
        netns.remove(name)
        netns.create(name)
    try:
        for interface, address, neighbor in (
            (WAN, f"{US}/64", "2001:db8:1::1"),
            (LAN, f"{OURS}/64", HOST),
            (TUNNEL, f"{INSIDE_US}/126", INSIDE_PEER),
        ):
            argv = ["ip", "link", "add", interface, "type", "veth", "peer", "far", "netns"]
            run([*argv, FAR[interface]], netns=GATEWAY)
            run(["ip", "addr", "add", address, "dev", interface, "nodad"], netns=GATEWAY)
            run(["ip", "link", "set", interface, "up"], netns=GATEWAY)
            run(["ip", "link", "set", "far", "up"], netns=FAR[interface])
            argv = ["ip", "neigh", "add", neighbor, "lladdr", "02:00:00:00:00:01"]
            run([*argv, "dev", interface], netns=GATEWAY)
        run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"], netns=GATEWAY)
        for route in (
            ["default", "via", "2001:db8:1::1"],
            ["2001:db8:f000::/36", "via", INSIDE_PEER],
        ):
            run(["ip", "-6", "route", "add", *route], netns=GATEWAY)
        rules = render_node(plans("vpn-ipv6")["site"])["/etc/nftables.d/60-bongsu.nft"]
        run(["nft", "-f", "-"], input=rules, netns=GATEWAY)
        yield Wires(GATEWAY, FAR, 0x86DD)
    finally:
        for name in names:
            netns.remove(name)


def test_a_tunnels_gateway_may_speak_ike(wires: Wires) -> None:
    with netns.socket_in(GATEWAY, socket.AF_INET6, socket.SOCK_RAW, ESP) as receiver:
        receiver.settimeout(5)
        wires.send(WAN, ip(HEADEND, US, ESP, bytes(16)))
        assert receiver.recvfrom(100)[1][0] == HEADEND
    with netns.socket_in(GATEWAY, socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        receiver.bind((US, 500))
        receiver.settimeout(5)
        wires.send(WAN, ip(HEADEND, US, UDP, udp(500, HEADEND, US)))
        assert receiver.recvfrom(10)[1][0] == HEADEND


def test_the_networks_of_both_sides_meet(wires: Wires) -> None:
    wires.send(TUNNEL, ip(CLOUD, HOST, UDP, udp(53)))
    assert wires.arrives(LAN, CLOUD, HOST) == udp(53)
    wires.send(LAN, ip(HOST, CLOUD, UDP, udp(53)))
    assert wires.arrives(TUNNEL, HOST, CLOUD) == udp(53)
    wires.send(LAN, ip(HOST, STRANGER, UDP, udp(53)))
    assert wires.arrives(WAN, HOST, STRANGER) == udp(53)


@pytest.mark.parametrize(
    ("counter", "interface", "packet"),
    [
        ("ike_foreign", WAN, ip(STRANGER, US, UDP, udp(500))),
        ("ike_foreign", WAN, ip(STRANGER, US, ESP, bytes(16))),
        ("ike_foreign", WAN, ip(STRANGER, US, HOP_BY_HOP, behind(HOP_BY_HOP, UDP, udp(4500)))),
        ("ike_foreign", WAN, ip(STRANGER, US, FRAGMENT, behind(FRAGMENT, UDP, udp(500)))),
        ("ike_foreign", WAN, ip(HEADEND, OURS, UDP, udp(500))),
        ("inner_source_foreign", TUNNEL, ip(STRANGER, HOST, UDP, udp(53))),
        ("inner_source_foreign", TUNNEL, ip(HOST, CLOUD, UDP, udp(53))),
        ("inner_source_foreign", TUNNEL, ip("fe80::1", HOST, UDP, udp(53))),
        ("tunnel_elsewhere", TUNNEL, ip(CLOUD, STRANGER, UDP, udp(53))),
        ("into_tunnel", LAN, ip("2001:db8:101::1", CLOUD, UDP, udp(53))),
        ("into_tunnel", WAN, ip(HOST, CLOUD, UDP, udp(53))),
        ("vpn_clear", WAN, ip(CLOUD, HOST, UDP, udp(53))),
        ("vpn_clear", WAN, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(1024, 179))),
        ("tunnel_input", TUNNEL, ip(CLOUD, OURS, TCP, tcp(1024, 22))),
        ("bgp_foreign", TUNNEL, ip(CLOUD, INSIDE_US, TCP, tcp(1024, 179))),
        ("redirects", TUNNEL, ip(INSIDE_PEER, INSIDE_US, ICMP, struct.pack("!BBHI", 137, 0, 0, 0))),
    ],
)
def test_dropped(wires: Wires, counter: str, interface: str, packet: bytes) -> None:
    assert wires.dropped(interface, packet) == counter


def test_without_its_way_nothing_leaves_in_clear(wires: Wires) -> None:
    for route, interface, source, destination in (
        (["2001:db8:f000::/36", "via", INSIDE_PEER], LAN, HOST, CLOUD),
        (["2001:db8:100::/64", "dev", LAN], TUNNEL, CLOUD, HOST),
    ):
        run(["ip", "-6", "route", "del", *route], netns=GATEWAY)
        try:
            packet = ip(source, destination, UDP, udp(53))
            assert wires.dropped(interface, packet) == "vpn_leak"
        finally:
            run(["ip", "-6", "route", "add", *route], netns=GATEWAY)
