"""VPN011: one tunnel to a cloud that offers two."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels between a site and a cloud, over all their connections, against the profile's number."""
    count: dict[tuple[str, str], int] = {}
    for connection in scene.connections:
        pair = (connection.site, connection.vpn.cloud)
        count[pair] = count.get(pair, 0) + len(connection.tunnels)
    for connection in scene.connections:
        offered = connection.profile.tunnels
        if count[connection.site, connection.vpn.cloud] == 1 < offered:
            yield Finding(
                "VPN011",
                Severity.WARNING,
                (*connection.at, "tunnels"),
                f"{connection.profile.title} gives every connection {offered} tunnels and takes one "
                "of them down for maintenance when it likes: there is no other here",
                "the second headend as a tunnel of its own",
            )
