"""In the guest: whose packets with our own source address are forwarded, under the rendered settings.

The far end of a GRE tunnel by ip_gre, with settings as bongsu renders and writes them. Two packets
are sent to it after each change, and an echo request after them: what has not come back when the
echo has, never will. No timing.

`keepalive`: comes out of the tunnel with the far end's own address, to be sent home.
`spoofed`: the same without the tunnel, as a stranger on the underlay might send it.
"""

import json
import os
import socket
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from bongsu.model.node import Platform, Role
from bongsu.model.tunnel import Keepalive
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.sysctl.render import settings
from bongsu.system import netns, sysctl
from bongsu.system.run import run

NEAR, FAR = "bst-near", "bst-far"
NEAR_ADDRESS, FAR_ADDRESS = "192.0.2.1", "192.0.2.2"
TUNNEL = "gre1"
CONF = Path("/proc/sys/net/ipv4/conf")
ETH_P_IP = 0x0800
ARRIVES_S = 10.0


def tunnel(**changes: Any) -> TunnelPlan:
    values: dict[str, Any] = {
        "name": TUNNEL,
        "peer": "near",
        "underlay": "vb",
        "local": ip_address(FAR_ADDRESS),
        "remote": ip_address(NEAR_ADDRESS),
        "key": None,
        "ttl": 255,
        "tos": "inherit",
        "mtu": 1476,
        "overhead": 24,
        "addresses": [ip_interface("10.99.1.2/24")],
        "peer_addresses": [ip_address("10.99.1.1")],
        "inner_sources": [],
        "inner_destinations": [],
        "keepalive": None,
        "peer_keepalive": Keepalive(),
        "bfd": None,
        "bgp": False,
        "egress": False,
        "preference": 100,
        "insecure": True,
    }
    return TunnelPlan(**(values | changes))


def node(**changes: Any) -> NodePlan:
    return NodePlan(
        network="test",
        node="far",
        role=Role.ROUTER,
        platform=Platform.LINUX,
        asn=64512,
        router_id=ip_address(FAR_ADDRESS),
        owned=[],
        interfaces=[],
        tunnels=[tunnel(**changes)],
        external=[],
        internal=[],
        announcements=[],
        home=[],
        reply_table=103,
    )


def build() -> None:
    for name in (NEAR, FAR):
        netns.create(name)
    lines = f"""\
link add va type veth peer name vb netns {FAR}
addr add {NEAR_ADDRESS}/24 dev va
link set lo up
link set va up
"""
    run(["ip", "-n", NEAR, "-batch", "-"], input=lines)
    lines = f"""\
addr add {FAR_ADDRESS}/24 dev vb
link set lo up
link set vb up
link add {TUNNEL} type gre local {FAR_ADDRESS} remote {NEAR_ADDRESS} ttl 255
addr add 10.99.1.2/24 dev {TUNNEL}
link set {TUNNEL} up
"""
    run(["ip", "-n", FAR, "-batch", "-"], input=lines)


def found(filter_of_all: int) -> None:
    """The machine as an administrator left it: this filter on all, loose on the uplink."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    for scope, name, value in (
        ("all", "accept_local", 0),
        (TUNNEL, "accept_local", 0),
        ("all", "rp_filter", filter_of_all),
        ("default", "rp_filter", 0),
        (TUNNEL, "rp_filter", 0),
        ("vb", "rp_filter", 0),
    ):
        (CONF / scope / name).write_text(str(value))


def configure(plan: NodePlan) -> None:
    """As the agent does it."""
    wanted = [sysctl.Setting(each.key, str(each.value)) for each in settings(plan)]
    sysctl.apply([*sysctl.spread(wanted), *wanted])


def filter_on(name: str) -> int:
    return max(int((CONF / each / "rp_filter").read_text()) for each in ("all", name))


class Wire:
    """The near end of the veth: sends packets, sees what the far kernel sends back."""

    def __init__(self) -> None:
        self._out = netns.socket_in(NEAR, socket.AF_PACKET, socket.SOCK_RAW)
        self._in = netns.socket_in(NEAR, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        with netns.in_netns(NEAR):
            self._out.bind(("va", 0))
            self._in.bind(("va", ETH_P_IP))
        self._in.settimeout(ARRIVES_S)
        with netns.in_netns(FAR):
            head = mac("vb") + bytes(6) + ETH_P_IP.to_bytes(2, "big")
        job = Path(os.environ["JOB"])
        self._frames = {
            name: head + (job / name).read_bytes() for name in ("keepalive", "spoofed", "echo")
        }

    def back(self) -> list[str]:
        """Which of the two came back, in the order of their coming."""
        for frame in self._frames.values():
            self._out.send(frame)
        came: list[str] = []
        while True:
            packet, (_, _, kind, _, _) = self._in.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING:
                continue
            if packet[9] == socket.IPPROTO_ICMP and packet[20] == 0:
                return came
            if packet[9] == socket.IPPROTO_GRE and packet[22:24] == b"\0\0":
                # told apart by the identification that they were given
                came.append({7: "keepalive", 9: "spoofed"}[int.from_bytes(packet[4:6], "big")])


def mac(device: str) -> bytes:
    (link,) = json.loads(run(["ip", "-j", "link", "show", device], netns=FAR).stdout)
    return bytes.fromhex(link["address"].replace(":", ""))


def main() -> None:
    os.sched_setaffinity(0, {0})
    build()
    wire = Wire()
    with netns.in_netns(FAR):
        (Path("/proc/sys/net/ipv4/neigh/vb/base_reachable_time_ms")).write_text("3600000")
    run(["ping", "-c", "1", NEAR_ADDRESS], netns=FAR)
    seen: list[list[object]] = []
    for of_all in (0, 1, 2):
        for rpf in (None, "loose", "strict"):
            with netns.in_netns(FAR):
                found(of_all)
                before = filter_on("vb")
                configure(node(rpf=rpf))
                kept = filter_on("vb") == before
                taken = sysctl.own_addresses_taken()
            seen.append([of_all, rpf, wire.back(), kept, taken])
    with netns.in_netns(FAR):
        found(0)
        configure(node(peer_keepalive=None))
        taken = sysctl.own_addresses_taken()
    silent = [wire.back(), taken]
    # the global form, as it is found in other people's advice
    globally: list[list[object]] = []
    for of_all in (0, 1, 2):
        with netns.in_netns(FAR):
            found(of_all)
            configure(node())
            (CONF / "all/accept_local").write_text("1")
            taken = sysctl.own_addresses_taken()
        globally.append([of_all, wire.back(), taken])
    print(json.dumps({"tunnel": seen, "no keepalive": silent, "global": globally}))


if __name__ == "__main__":
    main()
