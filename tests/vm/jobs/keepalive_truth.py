"""In the guest: does the kernel's own stack send a keepalive home from an end that is as planned?

Reads /job/cases (JSON: name to [plan of the far node, request in hex, options]) and /job/echo; writes
JSON: name to the number of answers. Each case has two namespaces of its own and nothing of ours in
them but what renderers made of the plan: ip_gre, settings, an access list as rules, VRFs as devices.
After each request an echo request goes the same way on the same processor: what has not come back
when the echo has, never will. No timing.
"""

import json
import os
import socket
from pathlib import Path

from bongsu.plan.node import NodePlan
from bongsu.render.nftables import render as nftables
from bongsu.render.sysctl.render import settings
from bongsu.system import netns, sysctl
from bongsu.system.run import run

NEAR_ADDRESS = "172.31.0.1"
ETH_P_IP = 0x0800
ARRIVES_S = 20.0
NOT_HERE = "4278198272"
"""Metric of the route that ends a VRF's table; beyond it the main table would be asked."""


class Case:
    """Two ends: the near one is a wire to send and listen on, the far one as the plan has it."""

    def __init__(self, number: int, plan: NodePlan, *, leaky: bool) -> None:
        self.near, self.far = f"bst-near{number}", f"bst-far{number}"
        self.plan = plan
        (self.tunnel,) = plan.tunnels
        for name in (self.near, self.far):
            netns.create(name)
        self._links(leaky)
        with netns.in_netns(self.far):
            wanted = [sysctl.Setting(each.key, str(each.value)) for each in settings(plan)]
            sysctl.apply([*sysctl.spread(wanted), *wanted])
        if self.tunnel.inbound is not None:
            for text in nftables.render(plan, []).values():
                run(["nft", "-f", "-"], input=text, netns=self.far)

    def _links(self, leaky: bool) -> None:
        run(
            ["ip", "-n", self.near, "-batch", "-"],
            input=f"""\
link add va type veth peer name {self.tunnel.underlay} netns {self.far}
addr add {NEAR_ADDRESS}/30 dev va
link set lo up
link set va up
""",
        )
        lines = ["link set lo up"]
        members = {self.tunnel.underlay: self.tunnel.transport_vrf, "gre1": self.tunnel.vrf}
        for table, vrf in enumerate(sorted({vrf for vrf in members.values() if vrf}), 10):
            lines += [f"link add {vrf} type vrf table {table}", f"link set {vrf} up"]
            if not leaky:
                lines.append(f"route add unreachable default table {table} metric {NOT_HERE}")
        ends = f"local {self.tunnel.local} remote {self.tunnel.remote}"
        lines.append(f"link add gre1 type gre {ends} ttl 255")
        # Addresses come last: a device that joins a VRF loses none then.
        lines += [f"link set {name} master {vrf}" for name, vrf in members.items() if vrf]
        lines += [
            f"addr add {self.tunnel.local}/30 dev {self.tunnel.underlay}",
            f"addr add {self.tunnel.addresses[0]} dev gre1",
            f"link set {self.tunnel.underlay} up",
            "link set gre1 up",
        ]
        run(["ip", "-n", self.far, "-batch", "-"], input="\n".join(lines) + "\n")

    def answers(self, request: bytes, echo: bytes) -> int:
        """Keepalives that came back before the echo did."""
        out = netns.socket_in(self.near, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        back = netns.socket_in(self.near, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        with out, back:
            with netns.in_netns(self.near):
                back.bind(("va", ETH_P_IP))
            back.settimeout(ARRIVES_S)
            for packet in (request, echo):
                out.sendto(packet, (str(self.tunnel.local), 0))
            found = 0
            while True:
                packet, (_, _, kind, _, _) = back.recvfrom(2048)
                if kind == socket.PACKET_OUTGOING:
                    continue
                if packet[9] == socket.IPPROTO_ICMP and packet[20] == 0:
                    return found
                # Protocol type 0 is a keepalive's.
                found += packet[9] == socket.IPPROTO_GRE and packet[22:24] == b"\0\0"


def main() -> None:
    os.sched_setaffinity(0, {0})
    job = Path(os.environ["JOB"])
    echo = (job / "echo").read_bytes()
    seen = {}
    for number, (name, item) in enumerate(json.loads((job / "cases").read_text()).items()):
        plan, request, options = item
        case = Case(number, NodePlan.model_validate(plan), leaky="leaky" in options)
        seen[name] = case.answers(bytes.fromhex(request), echo)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
