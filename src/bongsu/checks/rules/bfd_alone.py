"""BFD002: BFD on a tunnel that has no BGP to use it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with `bfd` and `bgp: false`."""
    for name, tunnel in scene.network.tunnels.items():
        if tunnel.bfd is not None and not tunnel.bgp:
            yield Finding(
                "BFD002",
                Severity.ERROR,
                ("tunnels", name, "bfd"),
                "BFD without BGP: the far end opens no session, so this one never comes up, and "
                "what waits for it stays down",
                "leave `bgp` at true, or watch the tunnel with `keepalive` only",
            )
