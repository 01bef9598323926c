"""BFD001: BFD faster than a shared machine keeps time."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.tunnel import Bfd

FASTEST_MS = 10


def check(scene: Scene) -> Iterator[Finding]:
    """BFD of tunnels, of external neighbors and of sessions with clouds."""
    for path, bfd in _sessions(scene):
        if bfd.interval_ms < FASTEST_MS:
            yield Finding(
                "BFD001",
                Severity.WARNING,
                (*path, "interval_ms"),
                f"every {bfd.interval_ms} ms is faster than a user-space daemon keeps under load: "
                "it will call a live link dead",
                f"{FASTEST_MS} ms at least; 300 ms over the open Internet",
            )


def _sessions(scene: Scene) -> Iterator[tuple[Path, Bfd]]:
    for name, tunnel in scene.network.tunnels.items():
        if tunnel.bfd is not None:
            yield ("tunnels", name, "bfd"), tunnel.bfd
    for connection in scene.connections:
        if connection.vpn.bgp is not None and connection.vpn.bgp.bfd is not None:
            yield (*connection.at, "bgp", "bfd"), connection.vpn.bgp.bfd
    for name, node in scene.network.nodes.items():
        for key, neighbor in node.bgp.neighbors.items():
            if neighbor.bfd is not None:
                yield ("nodes", name, "bgp", "neighbors", key, "bfd"), neighbor.bfd
