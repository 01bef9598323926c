"""ACC011: an accelerator whose parts do not speak to each other."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform


def check(scene: Scene) -> Iterator[Finding]:
    """Families of accelerated, off and endpoints' addresses; PoPs that are no Linux or far apart."""
    network = scene.network
    for name, item in network.accelerators.items():
        at = ("accelerators", name)
        versions = {key: region.address.version for key, region in item.regions.items()}
        if item.egress.off_address is not None:
            versions["egress"] = item.egress.off_address.version
        first = next(iter(versions.values()))
        ends = {
            (*at, "listeners", key, "endpoints", each, "address"): endpoint.address
            for key, listener in item.listeners.items()
            for each, endpoint in listener.endpoints.items()
        }
        for place, address in ends.items():
            if isinstance(address, IPv4Address | IPv6Address) and address.version != first:
                yield Finding(
                    "ACC011",
                    Severity.ERROR,
                    place,
                    f"{address} is IPv{address.version}, and clients enter {name} by IPv{first}: packets "
                    "are led on, not translated from one family to the other",
                    f"an IPv{first} address of the endpoint",
                )
        for key, version in versions.items():
            if version != first:
                place = (*at, "egress") if key == "egress" else (*at, "regions", key)
                yield Finding(
                    "ACC011",
                    Severity.ERROR,
                    place,
                    f"IPv{version}, and the accelerator's first region has IPv{first}",
                    "one family for each accelerator",
                )
        for node in dict.fromkeys([*(r.node for r in item.regions.values()), item.egress.node]):
            plan = scene.plans[node]
            if plan.platform is not Platform.LINUX:
                yield Finding(
                    "ACC011",
                    Severity.ERROR,
                    at,
                    f"{node} is no Linux machine of ours, and cannot relay",
                    "a PoP of `platform: linux`",
                )
            elif node != item.egress.node and plan.relay is not None:
                peers = {peer.node for peer in plan.relay.peers}
                if item.egress.node not in peers:
                    yield Finding(
                        "ACC011",
                        Severity.ERROR,
                        at,
                        f"{node} and {item.egress.node} have no family of addresses in common",
                        "an address of the same family on an uplink of both",
                    )
