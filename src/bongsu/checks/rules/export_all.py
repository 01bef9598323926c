"""BGP003: exporting the whole table."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Neighbors with `export: all`."""
    for name, node in scene.network.nodes.items():
        for key, neighbor in node.bgp.neighbors.items():
            if neighbor.export == "all":
                yield Finding(
                    "BGP003",
                    Severity.ERROR,
                    ("nodes", name, "bgp", "neighbors", key, "export"),
                    f"everything in {name}'s table would be announced to {key}, "
                    "learned routes included",
                    "`export: owned`, the default, announces the owner's prefixes only",
                )
