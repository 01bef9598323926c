"""A site with two IPsec tunnels to a cloud: two agents, a router between them, no lab.

The site is what examples have; the cloud is its stand-in. ESP is in user space where the kernel has
none. Nothing is out but in the namespaces of the boxes.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bongsu.intent.loader import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.system.run import run
from tests.root.agent_box import Box, boxes, cable, until

UP_WITHIN_S = 45
HOST, SERVER = "10.0.85.1", "172.16.0.1"
HEADENDS = {"vti1": "198.51.100.2", "vti2": "198.51.100.6"}

# The boxes' agents have these two in their environment.
FILE = """
version: 1
name: vpn-world
nodes:
  cpe:
    role: router
    routing: {routing}
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}}
      lan: {{role: lan, addresses: [10.0.85.1/24]}}
    bgp: {{asn: 65000, router_id: 10.10.10.1}}
clouds:
  seoul: {{profile: oci, networks: [172.16.0.0/24]}}
vpns:
  hub:
    site: cpe
    cloud: seoul
    ike: {{version: {version}, proposals: [{ike}], lifetime_s: 28800}}
    esp: {{proposals: [aes256gcm16-modp1536], lifetime_s: 3600}}
    weak: [modp1536, ikev1]
    dpd: {{delay_s: 2, timeout_s: 6}}
    probe: {{interval_ms: 200, misses: 4}}
    tunnels:
      vti1:
        {{headend: 198.51.100.2, inside: 10.10.10.1/30, peer: 10.10.10.2, psk: "{psk}"}}
      vti2:
        {{headend: 198.51.100.6, inside: 10.10.10.5/30, peer: 10.10.10.6,
         psk: "env:TOKYO_BGP_PASSWORD"}}
    bgp: {{keepalive_s: 6, hold_s: 18, multihop: 255, announce: [10.0.85.0/24]}}
"""


def plans(
    *,
    routing: str = "frr",
    version: int = 1,
    ike: str = "aes256-sha384-modp1536",
    psk: str = "env:SEOUL_BGP_PASSWORD",
) -> tuple[NodePlan, NodePlan]:
    """Site and cloud."""
    text = FILE.format(routing=routing, version=version, ike=ike, psk=psk)
    network = load_text(text, "vpn-world.yaml").network
    return compile_network(network)["cpe"], stand_in_plan(network, "seoul")


class World:
    """The three machines."""

    def __init__(self, cpe: Box, middle: Box, cloud: Box) -> None:
        self.cpe, self.middle, self.cloud = cpe, middle, cloud
        for box, address, far, between in (
            (cpe, ["192.0.2.10/24"], "192.0.2.1", "m1"),
            (cloud, ["198.51.100.2/31", "198.51.100.6/31"], "198.51.100.3", "m2"),
        ):
            cable(box, "wan", middle, between)
            for one in address:
                box.ip(f"addr add {one} dev wan")
            box.ip(f"route add default via {far}")
        for box, name, address_ in ((cpe, "lan", f"{HOST}/24"), (cloud, "net0", f"{SERVER}/24")):
            box.ip(f"link add {name} type veth peer name far0")
            for end in (name, "far0"):
                box.ip(f"link set {end} up")
            box.ip(f"addr add {address_} dev {name}")
        for one, name in (
            ("192.0.2.1/24", "m1"), ("198.51.100.3/31", "m2"), ("198.51.100.7/31", "m2"),
        ):  # fmt: skip
            middle.ip(f"addr add {one} dev {name}")
        run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], netns=middle.netns)

    def start(self, cpe: NodePlan, cloud: NodePlan, *, pid_namespace: bool = True) -> None:
        """pid_namespace: with its agent all of the site ends."""
        self.cloud.start(self.cloud.bundle(cloud))
        self.cpe.start(self.cpe.bundle(cpe), pid_namespace=pid_namespace)
        self.cloud.wait_ready()
        self.cpe.wait_ready()

    def wait_up(self) -> None:
        until(
            lambda: all(one["state"] == "up" for one in self.tunnels().values()),
            "not every tunnel came up", UP_WITHIN_S,
        )  # fmt: skip
        until(self.reaches, "no ping through", UP_WITHIN_S)

    def tunnels(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.cpe.client.call("vpn")["tunnels"]}

    def sessions(self) -> dict[str, dict[str, Any]]:
        return {one["description"]: one for one in self.cpe.client.call("bgp")["neighbors"]}

    def way(self) -> str:
        """The interface that leads to the cloud's server."""
        found = self.cpe.text("ip", "route", "get", SERVER, "from", HOST)
        return found.split(" dev ")[1].split()[0] if " dev " in found else ""

    def reaches(self) -> bool:
        done = run(["ping", "-c1", "-W1", "-I", HOST, SERVER], netns=self.cpe.netns, check=False)
        return done.returncode == 0

    def daemon(self, name: str) -> dict[str, Any]:
        found = self.cpe.client.call("status")["daemons"]
        return next(one for one in found if one["name"] == name)

    def drop(self, headend: str) -> None:
        """Lose every packet to and from a headend, without a word."""
        rules = [f"add rule ip loss f ip {way} {headend} drop" for way in ("saddr", "daddr")]
        begin = [
            "add table ip loss",
            "add chain ip loss f { type filter hook forward priority 0; }",
        ]
        run(["nft", "; ".join([*begin, *rules])], netns=self.middle.netns)

    def heal(self) -> None:
        run(["nft", "delete", "table", "ip", "loss"], netns=self.middle.netns, check=False)


@contextlib.contextmanager
def world(home: Path) -> Iterator[World]:
    with boxes(home, "cpe", "mid", "cloud") as (cpe, middle, cloud):
        yield World(cpe, middle, cloud)
