"""BGP004: announcing to nobody."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Nodes that announce and have no neighbor of the prefix's family, or are no PoP."""
    for name, node in scene.network.nodes.items():
        if not node.announce:
            continue
        if not node.bgp.neighbors:
            yield Finding(
                "BGP004",
                Severity.ERROR,
                ("nodes", name, "announce"),
                f"{name} announces {len(node.announce)} prefix(es) and has no BGP neighbor",
                f"add nodes.{name}.bgp.neighbors",
            )
        elif node.role != "pop":
            yield Finding(
                "BGP004",
                Severity.ERROR,
                ("nodes", name, "announce"),
                f"{name} is a {node.role.value}: only PoPs announce",
                f"make {name} a PoP (`role: pop`) or leave announcing to the PoPs",
            )
