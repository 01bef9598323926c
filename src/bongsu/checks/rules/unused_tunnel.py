"""VPN019: a tunnel that nothing is routed into."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Connections without routes, with routes that lead nowhere, or with nobody at the site."""
    for connection in scene.connections:
        for path, words, hint in _wrong(connection):
            yield Finding("VPN019", Severity.ERROR, path, words, hint)


def _wrong(connection: Connection) -> Iterator[tuple[Path, str, str]]:
    vpn, at = connection.vpn, connection.at
    if not connection.networks:
        yield (
            at,
            f"{connection.site} has no LAN, and no `networks` are given: nobody there may use the VPN",
            "`networks:` with the prefixes on the site's side",
        )
    elif not {p.version for p in connection.networks} & {
        p.version for p in connection.cloud.networks
    }:
        yield (
            at,
            f"{connection.site} has {connection.networks[0]} and {vpn.cloud} has "
            f"{connection.cloud.networks[0]}: there is no family that both sides speak",
            "`networks` of one family on both sides",
        )
    if not connection.routed:
        for field, given in (("bgp", vpn.bgp is not None), ("static", vpn.static)):
            if given:
                yield (
                    (*at, field),
                    "the binding is policy: there is no interface that a route could lead to",
                    "`binding: xfrm` or `vti`, or leave it out: the selectors decide",
                )
    elif vpn.bgp is None and not vpn.static and not vpn.vti_routing:
        yield (
            at,
            f"no route leads into its tunnels: they come up, and nothing uses them to reach "
            f"{connection.cloud.networks[0]}",
            "`bgp: {}`, or `static: true` where the cloud has no BGP",
        )
