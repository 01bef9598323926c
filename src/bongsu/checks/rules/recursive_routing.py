"""RTE003: a tunnel whose own packets are routed into it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.nesting import cycles
from bongsu.checks.scene import Scene

SHOWN = 8
"""Tunnels of a ring that are named."""


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels that need themselves, directly or by way of others."""
    for names in cycles(scene.graph):
        ends = " and ".join(str(address) for address in scene.lines[names[0]].outer.values())
        if len(names) == 1:
            words = f"packets between {ends}, the tunnel's own ends, are routed into the tunnel"
        else:
            more = ", ..." if len(names) > SHOWN else ""
            words = "each of these is routed into another: " + ", ".join(names[:SHOWN]) + more
        yield Finding(
            "RTE003",
            Severity.ERROR,
            ("tunnels", names[0]),
            f"{words}; it flaps or loops as soon as it is up",
            "underlay addresses outside of every prefix and network that tunnels carry",
        )
