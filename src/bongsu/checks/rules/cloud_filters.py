"""BGP011: a session with a cloud that takes anything, or any number of it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`accept` and `max_prefixes` of sessions inside VPN tunnels."""
    for connection in scene.connections:
        bgp = connection.vpn.bgp
        if bgp is None:
            continue
        at = (*connection.at, "bgp")
        count = len(connection.cloud.networks)
        if bgp.accept == "any":
            yield Finding(
                "BGP011",
                Severity.WARNING,
                (*at, "accept"),
                "whatever the cloud's side announces becomes a route here, a default route or one to "
                "our own networks, too",
                "leave it out: then it is the cloud's networks and what lies in them",
            )
        if bgp.max_prefixes is None:
            yield Finding(
                "BGP011",
                Severity.WARNING,
                (*at, "max_prefixes"),
                "without a bound a mistake at the cloud's side fills this machine's tables",
                "leave it out: 100 is the default",
            )
        elif bgp.max_prefixes < count:
            yield Finding(
                "BGP011",
                Severity.ERROR,
                (*at, "max_prefixes"),
                f"the cloud has {count} networks, and the session is closed with more than "
                f"{bgp.max_prefixes}",
                f"{2 * count} at the least: networks are added without a word",
            )
