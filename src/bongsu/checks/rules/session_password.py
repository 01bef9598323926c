"""SEC002: a BGP session over more than one hop without a password."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Multihop neighbors without TCP MD5 (RFC 2385)."""
    for name, node in scene.network.nodes.items():
        for key, neighbor in node.bgp.neighbors.items():
            if neighbor.multihop is not None and neighbor.password is None:
                yield Finding(
                    "SEC002",
                    Severity.WARNING,
                    ("nodes", name, "bgp", "neighbors", key),
                    f"the session with {neighbor.address} crosses up to {neighbor.multihop} hops "
                    "without a password: a forged packet can end it",
                    "agree on one with the neighbor: `password: env:NAME`",
                )
