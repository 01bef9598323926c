"""RTE005: a tunnel that is routed into itself once its first way is lost."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """The way that a tunnel's outer packets take when the interface of the best is down.

    One failure is looked at, for every network falls apart at some number of them, and only where the
    tunnel would outlive it: one that speaks from the lost interface is dead in any case. A tunnel
    whose best way is itself is RTE003's.
    """
    for name, line in scene.lines.items():
        for node in line.outer:
            ways = scene.ways.of(line, node)
            best = next(ways, None)
            if best is None or best.tunnel or best.interface == line.speaks[node]:
                continue
            second = next((way for way in ways if way.interface != best.interface), None)
            if second is not None and second.interface == name:
                remote = line.outer[line.peer(node)]
                yield Finding(
                    "RTE005",
                    Severity.WARNING,
                    ("tunnels", name, "ends", node),
                    f"when {best.interface} of {node} goes down, the way to {remote} is "
                    f"{second.prefix} into {name} itself: recursive after failover",
                    f"a second way to {remote} with a greater `distance`, by another interface",
                )
