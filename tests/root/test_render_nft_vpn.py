"""The rendered nftables of a VPN's gateway against real packets, wanted and unwanted.

Five namespaces: the gateway, and at the far ends of its uplink, its LAN, a tunnel and the device of a
daemon that encrypts by policy (veths here) somebody who sends what he likes.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from bongsu.render import render_node
from bongsu.render.libipsec.render import ports
from bongsu.render.sysctl.render import settings
from bongsu.system import netns
from bongsu.system.run import run
from tests.golden.networks import plans
from tests.root.packet_wires import DEADLINE_S, ESP, Wires
from tests.root.test_render_nft import ICMP, TCP, UDP, checksum, icmp, ip, tcp, udp

pytestmark = pytest.mark.root

GATEWAY = "bst-render-nftv-gw"
WAN, LAN, TUNNEL, POLICY = "wan", "lan", "aws-1", "ipsec0"
FAR = {
    WAN: "bst-render-nftv-wan",
    LAN: "bst-render-nftv-lan",
    TUNNEL: "bst-render-nftv-tun",
    POLICY: "bst-render-nftv-pol",
}
US, HEADEND, STRANGER = "192.0.2.10", "198.51.100.1", "203.0.113.99"
OLD_HEADEND = "203.0.113.9"
INSIDE_US, INSIDE_PEER = "169.254.10.2", "169.254.10.1"
HOST, GUEST, CLOUD, OLD = "10.1.0.10", "10.1.1.10", "172.31.0.5", "172.20.0.5"


def port(destination: int, source: int = 4500) -> bytes:
    return struct.pack("!HHHH", source, destination, 8, 0)


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    names = (GATEWAY, *FAR.values())
    for name in names:
        netns.remove(name)
        netns.create(name)
    try:
        for interface, address, neighbor in (
            (WAN, f"{US}/24", "192.0.2.1"),
            (LAN, "10.1.0.1/24", HOST),
            (TUNNEL, f"{INSIDE_US}/30", INSIDE_PEER),
            (POLICY, "10.250.0.1/24", OLD),
        ):
            argv = ["ip", "link", "add", interface, "type", "veth", "peer", "far", "netns"]
            run([*argv, FAR[interface]], netns=GATEWAY)
            run(["ip", "addr", "add", address, "dev", interface], netns=GATEWAY)
            run(["ip", "link", "set", interface, "up"], netns=GATEWAY)
            run(["ip", "link", "set", "far", "up"], netns=FAR[interface])
            argv = ["ip", "neigh", "add", neighbor, "lladdr", "02:00:00:00:00:01"]
            run([*argv, "dev", interface], netns=GATEWAY)
        for route in (
            ["default", "via", "192.0.2.1"],
            ["172.31.0.0/16", "via", INSIDE_PEER],
            ["10.1.1.0/24", "via", HOST],
        ):
            run(["ip", "route", "add", *route], netns=GATEWAY)
        plan = plans("vpn-policy")["branch"]
        present = {*FAR, "all", "default"}
        for setting in settings(plan):
            parts = setting.key.split("/")
            if "ipv6" not in parts and ("conf" not in parts or parts[3] in present):
                run(["sysctl", "-qw", f"{setting.key}={setting.value}"], netns=GATEWAY)
        rules = render_node(plan)["/etc/nftables.d/60-bongsu.nft"]
        for _ in range(2):
            run(["nft", "-f", "-"], input=rules, netns=GATEWAY)
        yield Wires(GATEWAY, FAR, 0x0800)
    finally:
        for name in names:
            netns.remove(name)


OWN = ports(plans("vpn-policy")["branch"])["legacy"]
"""Of a charon that is one tunnel's alone."""


@pytest.mark.parametrize("number", [500, 4500, *OWN])
def test_a_tunnels_gateway_may_speak_ike(wires: Wires, number: int) -> None:
    with netns.socket_in(GATEWAY, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((US, number))
        receiver.settimeout(DEADLINE_S)
        for source in (HEADEND, OLD_HEADEND):
            wires.send(WAN, ip(source, US, UDP, port(number)))
            assert receiver.recvfrom(10)[1][0] == source


def test_a_tunnels_gateway_may_send_esp(wires: Wires) -> None:
    with netns.socket_in(GATEWAY, socket.AF_INET, socket.SOCK_RAW, ESP) as receiver:
        receiver.settimeout(DEADLINE_S)
        wires.send(WAN, ip(HEADEND, US, ESP, bytes(16)))
        assert receiver.recv(100)[12:16] == socket.inet_aton(HEADEND)


def test_what_hosts_behind_do_with_ipsec_is_their_own(wires: Wires) -> None:
    wires.send(WAN, ip(STRANGER, HOST, UDP, port(4500)))
    assert wires.arrives(LAN, STRANGER, HOST) == port(4500)
    wires.send(LAN, ip(HOST, STRANGER, ESP, bytes(16)))
    assert wires.arrives(WAN, HOST, STRANGER) == bytes(16)


def test_the_networks_of_both_sides_meet(wires: Wires) -> None:
    wires.send(TUNNEL, ip(CLOUD, HOST, UDP, udp(53)))
    assert wires.arrives(LAN, CLOUD, HOST) == udp(53)
    wires.send(LAN, ip(HOST, CLOUD, UDP, udp(53)))
    assert wires.arrives(TUNNEL, HOST, CLOUD) == udp(53)


def test_what_is_not_of_the_vpn_passes_as_before(wires: Wires) -> None:
    wires.send(LAN, ip(HOST, STRANGER, UDP, udp(53)))
    assert wires.arrives(WAN, HOST, STRANGER) == udp(53)


@pytest.mark.parametrize(
    ("counter", "interface", "packet"),
    [
        # Strangers, and a gateway that speaks to another address of ours.
        ("ike_foreign", WAN, ip(STRANGER, US, UDP, port(500))),
        ("ike_foreign", WAN, ip(STRANGER, US, UDP, port(4500))),
        ("ike_foreign", WAN, ip(STRANGER, US, UDP, port(OWN[0]))),
        ("ike_foreign", WAN, ip(STRANGER, US, ESP, bytes(16))),
        ("ike_foreign", WAN, ip(HEADEND, "10.1.0.1", UDP, port(500))),
        # Who may not speak out of a tunnel, and to whom not.
        ("inner_source_foreign", TUNNEL, ip(STRANGER, HOST, UDP, udp(53))),
        ("inner_source_foreign", TUNNEL, ip(HOST, CLOUD, UDP, udp(53))),
        ("inner_source_foreign", TUNNEL, ip(OLD, HOST, UDP, udp(53))),
        ("tunnel_elsewhere", TUNNEL, ip(CLOUD, STRANGER, UDP, udp(53))),
        ("tunnel_elsewhere", TUNNEL, ip(CLOUD, GUEST, UDP, udp(53))),
        # Nor into it.
        ("into_tunnel", LAN, ip(GUEST, CLOUD, UDP, udp(53))),
        ("into_tunnel", WAN, ip(HOST, CLOUD, UDP, udp(53))),
        ("into_tunnel", LAN, ip(HOST, INSIDE_PEER, UDP, udp(53))),
        # In clear from the Internet: what pretends to have come by a tunnel or by a policy.
        ("vpn_clear", WAN, ip(CLOUD, HOST, UDP, udp(53))),
        ("vpn_clear", WAN, ip(OLD, HOST, UDP, udp(53))),
        ("vpn_clear", WAN, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(1024, 179))),
        # A policy that is not in force lets nothing out.
        ("vpn_leak", LAN, ip(HOST, OLD, UDP, udp(53))),
        ("bgp_foreign", WAN, ip(STRANGER, US, TCP, tcp(1024, 179))),
        ("bgp_foreign", TUNNEL, ip(CLOUD, INSIDE_US, TCP, tcp(1024, 179))),
        ("bfd_foreign", TUNNEL, ip(INSIDE_PEER, INSIDE_US, UDP, udp(3784), ttl=254)),
        ("bfd_foreign", TUNNEL, ip(CLOUD, INSIDE_US, UDP, udp(3784), ttl=255)),
        ("tunnel_input", TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(1024, 22))),
        ("tunnel_input", TUNNEL, ip(CLOUD, "10.1.0.1", UDP, udp(53))),
        ("tunnel_input", TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, tcp(179, 22))),
        ("redirects", TUNNEL, ip(INSIDE_PEER, INSIDE_US, ICMP, icmp(5))),
    ],
)
def test_dropped(wires: Wires, counter: str, interface: str, packet: bytes) -> None:
    assert wires.dropped(interface, packet) == counter


def test_bfd_and_bgp_of_the_peer_arrive(wires: Wires) -> None:
    with netns.socket_in(GATEWAY, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((INSIDE_US, 3784))
        receiver.settimeout(DEADLINE_S)
        wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, UDP, udp(3784), ttl=255))
        assert receiver.recv(10) == b""
    before = wires.counters()
    # Its call, and its answer to ours. Nobody listens: a reset proves that they reached the stack.
    for source, destination in ((1024, 179), (179, 1024)):
        segment = bytearray(tcp(source, destination))
        ends = socket.inet_aton(INSIDE_PEER) + socket.inet_aton(INSIDE_US)
        segment[16:18] = struct.pack(
            "!H", checksum(ends + struct.pack("!HH", TCP, 20) + bytes(segment))
        )
        wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, TCP, bytes(segment)))
        assert wires.arrives(TUNNEL, INSIDE_US, INSIDE_PEER)[13] & 4
    wires.send(TUNNEL, ip(INSIDE_PEER, INSIDE_US, ICMP, icmp(8)))
    assert wires.arrives(TUNNEL, INSIDE_US, INSIDE_PEER)[0] == 0
    assert wires.counters() == before


@pytest.mark.parametrize(("offered", "left"), [(1460, 1398), (1398, 1398), (536, 536)])
def test_mss_is_lowered_to_the_tunnels(wires: Wires, offered: int, left: int) -> None:
    assert plans("vpn-policy")["branch"].vpns[1].mtu == 1398 + 40
    wires.send(LAN, ip(HOST, CLOUD, TCP, tcp(1024, 80, mss=offered)))
    assert wires.arrives(TUNNEL, HOST, CLOUD)[20:24] == struct.pack("!BBH", 2, 4, left)
    wires.send(TUNNEL, ip(CLOUD, HOST, TCP, tcp(1024, 80, mss=offered)))
    assert wires.arrives(LAN, CLOUD, HOST)[20:24] == struct.pack("!BBH", 2, 4, left)


def test_with_the_tunnel_down_nothing_leaves_in_clear(wires: Wires) -> None:
    """The route is gone, the default route stands: neither a host's packets nor our own leave."""
    run(["ip", "route", "del", "172.31.0.0/16"], netns=GATEWAY)
    try:
        assert wires.dropped(LAN, ip(HOST, CLOUD, UDP, udp(53))) == "vpn_leak"
        for source, destination in (("10.1.0.1", CLOUD), ("10.1.0.1", OLD)):
            before = wires.counters()
            with netns.socket_in(GATEWAY, socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                with pytest.raises(PermissionError):
                    sender.sendto(b"x", (destination, 53))
            assert wires.raised(before) == "vpn_leak"
        # What is nobody's of the VPN goes its way.
        wires.send(LAN, ip(HOST, STRANGER, UDP, udp(54)))
        assert wires.arrives(WAN, HOST, STRANGER) == udp(54)
    finally:
        run(["ip", "route", "add", "172.31.0.0/16", "via", INSIDE_PEER], netns=GATEWAY)


@contextlib.contextmanager
def routed(change: list[str], back: list[str]) -> Iterator[None]:
    run(["ip", "route", *change], netns=GATEWAY)
    try:
        yield
    finally:
        run(["ip", "route", *back], netns=GATEWAY)


def by_policy() -> contextlib.AbstractContextManager[None]:
    """A charon in user space carries the policy: its selectors lead into its device."""
    route = ["172.20.0.0/16", "dev", POLICY]
    return routed(["add", *route], ["del", *route])


def test_what_a_policy_carries_is_judged_as_what_a_tunnel_carries(wires: Wires) -> None:
    with by_policy():
        wires.send(LAN, ip(HOST, OLD, UDP, udp(53)))
        assert wires.arrives(POLICY, HOST, OLD) == udp(53)
        wires.send(POLICY, ip(OLD, HOST, UDP, udp(53)))
        assert wires.arrives(LAN, OLD, HOST) == udp(53)
        wires.send(POLICY, ip(OLD, "10.1.0.1", ICMP, icmp(8)))
        assert wires.arrives(POLICY, "10.1.0.1", OLD)[0] == 0
        # A source of ours by the uplink is forged: it would be encrypted, and believed.
        assert wires.dropped(WAN, ip(HOST, OLD, UDP, udp(53))) == "into_tunnel"
        # No way into this machine.
        for segment in (ip(OLD, "10.1.0.1", UDP, udp(53)), ip(OLD, "10.1.0.1", TCP, tcp(1024, 22))):
            assert wires.dropped(POLICY, segment) == "tunnel_input"
        assert wires.dropped(POLICY, ip(OLD, "10.1.0.1", ICMP, icmp(5))) == "redirects"


def test_without_its_lan_nothing_out_of_a_tunnel_goes_on_in_clear(wires: Wires) -> None:
    """The LAN's route is gone, the default route stands."""
    lan = ["10.1.0.0/24", "dev", LAN]
    with routed(["del", *lan], ["add", *lan, "src", "10.1.0.1"]), by_policy():
        assert wires.dropped(TUNNEL, ip(CLOUD, HOST, UDP, udp(53))) == "vpn_leak"
        assert wires.dropped(POLICY, ip(OLD, HOST, UDP, udp(53))) == "vpn_leak"
