"""MTU003: a tunnel inside a tunnel, and the sum does not fit."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.nesting import Graph
from bongsu.checks.scene import Scene
from bongsu.checks.size import mss_text


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels whose outer packets go through other tunnels; a ring of them is RTE003's."""
    narrowest = _narrowest(scene, scene.graph)
    for name, line in scene.lines.items():
        for point in scene.graph.get(name, ()):
            lower = narrowest.get(point, point)
            if not isinstance(lower, str) or lower == name:
                continue
            room = scene.lines[lower].mtu - line.overhead
            if line.mtu > room:
                yield Finding(
                    "MTU003",
                    Severity.ERROR,
                    ("tunnels", name, "mtu") if line.tunnel.mtu is not None else ("tunnels", name),
                    f"{name} goes through {lower}, which carries {scene.lines[lower].mtu} bytes: "
                    f"{line.mtu} and {line.overhead} of encapsulation do not fit",
                    f"`mtu: {room}` ({mss_text(room)})",
                )


def _narrowest(scene: Scene, graph: Graph) -> dict[object, str]:
    """Of each prefix, the tunnel with the least room of those that carry it."""
    return {
        point: min((str(item) for item in below), key=lambda item: scene.lines[item].mtu)
        for point, below in graph.items()
        if not isinstance(point, str) and below
    }
