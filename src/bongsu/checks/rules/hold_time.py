"""BGP005: a hold time that is too short to survive a busy moment, or too long to notice a death."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene

SHORTEST_S = 9
"""Three keepalives of three seconds."""
LONGEST_S = 180
"""The default of the makers that are slowest to let go."""


def check(scene: Scene) -> Iterator[Finding]:
    """Hold times of external neighbors."""
    for name, node in scene.network.nodes.items():
        for key, neighbor in node.bgp.neighbors.items():
            path = ("nodes", name, "bgp", "neighbors", key, "hold_s")
            if neighbor.hold_s < SHORTEST_S:
                yield Finding(
                    "BGP005",
                    Severity.WARNING,
                    path,
                    f"a hold time of {neighbor.hold_s} s drops the session when either side is "
                    "busy for a moment",
                    "find dead links with `bfd`, and leave the hold time at 90",
                )
            elif neighbor.hold_s > LONGEST_S and neighbor.bfd is None:
                yield Finding(
                    "BGP005",
                    Severity.WARNING,
                    path,
                    f"a dead neighbor draws traffic for {neighbor.hold_s} s before it is given up",
                    "90 is usual; `bfd` where the neighbor offers it",
                )
