"""ACC005: a listener on a port that its PoP uses itself."""

from collections.abc import Iterator

from bongsu.checks.accelerator import IKE, NAT_T, Ear
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.plan.node import NodePlan

_OWN: list[tuple[str, int, str]] = [
    ("tcp", 22, "SSH"),
    ("tcp", 179, "BGP"),
    ("udp", 3784, "BFD"),
    ("udp", 4784, "BFD over several hops"),
]


def check(scene: Scene) -> Iterator[Finding]:
    """Listeners whose accelerated address is the one that the PoP itself speaks from."""
    network = scene.network
    for ear in scene.ears:
        for region in network.accelerators[ear.accelerator].regions.values():
            plan = scene.plans[region.node]
            if region.address not in _spoken(scene, region.node):
                continue
            taken = [*_OWN, *_relaying(plan)]
            if plan.vpns:
                taken += [("udp", IKE, "IKE"), ("udp", NAT_T, "its own IPsec")]
            for protocol, port, whose in taken:
                if ear.hears(protocol, port):
                    yield _finding(ear, protocol, port, f"{region.node}'s own {whose}")


def _relaying(plan: NodePlan) -> list[tuple[str, int, str]]:
    if plan.relay is None:
        return []
    relay = plan.relay
    ports = {
        "relaying": relay.port,
        "measuring": relay.measuring_port,
        "repairing": relay.repair_port,
    }
    return [("udp", port, word) for word, port in ports.items()]


def _spoken(scene: Scene, node: str) -> set[Address]:
    """Addresses that a node's own relaying, BGP, tunnels and VPNs speak from."""
    plan = scene.plans[node]
    found: set[Address] = {peer.local for peer in plan.external}
    found |= {tunnel.local for tunnel in plan.tunnels} | {vpn.local for vpn in plan.vpns}
    if plan.relay is not None:
        found |= {peer.local for peer in plan.relay.peers}
    return found


def _finding(ear: Ear, protocol: str, port: int, whose: str) -> Finding:
    return Finding(
        "ACC005",
        Severity.ERROR,
        (*ear.at, "ports"),
        f"{protocol.upper()} {port} on this address is {whose}: the listener would take it away",
        "another port, or an address of the accelerator's own",
    )
