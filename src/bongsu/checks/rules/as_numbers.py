"""BGP007: AS numbers that do not fit together."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Nodes in another AS than the owner's, and external neighbors in our own."""
    owner = scene.network.owner.asn
    for name, node in scene.network.nodes.items():
        heard = scene.plans[name].internal or scene.plans[name].external
        # A site that speaks with its clouds only may have an AS number of its own.
        if node.bgp.asn is not None and node.bgp.asn != owner and heard:
            yield Finding(
                "BGP007",
                Severity.ERROR,
                ("nodes", name, "bgp", "asn"),
                f"{name} is AS{node.bgp.asn} and the owner AS{owner}: sessions over tunnels are "
                "within one AS, and ROAs name the owner's",
                "leave it out, and the owner's is used",
            )
        for key, neighbor in node.bgp.neighbors.items():
            if neighbor.asn == scene.plans[name].asn:
                yield Finding(
                    "BGP007",
                    Severity.ERROR,
                    ("nodes", name, "bgp", "neighbors", key, "asn"),
                    f"{key} has our own AS number, {neighbor.asn}: to it we would be internal",
                    "the provider's AS number is meant",
                )
