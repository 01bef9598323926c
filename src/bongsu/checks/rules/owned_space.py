"""BGP002: announcing what is not one's own."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Announced prefixes outside `owner.prefixes`."""
    for name, node in scene.network.nodes.items():
        for index, item in enumerate(node.announce):
            if not scene.owned.holds(item.prefix):
                owned = ", ".join(str(prefix) for prefix in scene.network.owner.prefixes[:5])
                yield Finding(
                    "BGP002",
                    Severity.ERROR,
                    ("nodes", name, "announce", index, "prefix"),
                    f"{item.prefix} is not the owner's: announcing it is a hijack",
                    f"the owner has {owned}",
                )
