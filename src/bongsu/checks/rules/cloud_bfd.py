"""BFD003: BFD with a cloud that offers none."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`bfd` of sessions inside VPN tunnels against the cloud's profile."""
    for connection in scene.connections:
        bgp = connection.vpn.bgp
        if bgp is not None and bgp.bfd is not None and not connection.profile.bfd:
            yield Finding(
                "BFD003",
                Severity.WARNING,
                (*connection.at, "bgp", "bfd"),
                f"{connection.profile.title} offers no BFD over its tunnels: it never comes up, and "
                "finds nothing",
                "`probe: {}` on the connection: it needs nothing at the far end but an answer to ping",
            )
