"""BGP012: more, less or other than the two sides of a VPN have is announced over it."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.table import PrefixTable
from bongsu.model.base import Prefix


def check(scene: Scene) -> Iterator[Finding]:
    """`announce` against the site's networks, `accept` against the cloud's."""
    for connection in scene.connections:
        bgp = connection.vpn.bgp
        if bgp is None:
            continue
        at = (*connection.at, "bgp")
        if bgp.announce == []:
            yield Finding(
                "BGP012",
                Severity.ERROR,
                (*at, "announce"),
                "the cloud is told of nothing, and has no way back to anybody",
                "leave it out: then it is the site's networks",
            )
        yield from _announced(connection, (*at, "announce"), bgp.announce or [])
        if isinstance(bgp.accept, list):
            yield from _accepted(connection, (*at, "accept"), bgp.accept)


def _announced(connection: Connection, at: Path, prefixes: list[Prefix]) -> Iterator[Finding]:
    inside, around = _known(connection.networks), _around(prefixes, connection.networks)
    for place, prefix in enumerate(prefixes):
        if inside.holds(prefix):
            continue
        severity = Severity.WARNING
        if prefix.prefixlen == 0:
            words = "a default route draws all that the cloud sends anywhere into the site"
        elif prefix in around:
            words = (
                f"{prefix} is more than {connection.site} has: the rest is drawn here and dropped"
            )
        else:
            words = (
                f"{prefix} is none of {connection.site}'s networks: what the cloud sends there is "
                "dropped as it comes out of the tunnel"
            )
            severity = Severity.ERROR
        hint = "the site's networks, or this one among `networks` of the VPN"
        yield Finding("BGP012", severity, (*at, place), words, hint)


def _accepted(connection: Connection, at: Path, prefixes: list[Prefix]) -> Iterator[Finding]:
    networks = connection.cloud.networks
    inside, around = _known(networks), _around(prefixes, networks)
    for place, prefix in enumerate(prefixes):
        if inside.holds(prefix) or (prefix in around and prefix.prefixlen > 0):
            continue
        if prefix.prefixlen == 0:
            words = (
                "a default route is taken, and every other: one mistake at the cloud's side moves all "
                "of the site's traffic into the tunnel"
            )
            hint = "the cloud's networks; if all traffic is to go there, `networks` of the cloud say so"
        else:
            words = (
                f"{prefix} is none of the cloud's networks: what comes from there is dropped here"
            )
            hint = f"add it to clouds.{connection.vpn.cloud}.networks, or take it out"
        yield Finding("BGP012", Severity.WARNING, (*at, place), words, hint)


def _known(networks: list[Prefix]) -> PrefixTable[None]:
    table: PrefixTable[None] = PrefixTable()
    for network in networks:
        table.add(network, None)
    return table


def _around(prefixes: list[Prefix], networks: list[Prefix]) -> set[Prefix]:
    """The prefixes that hold one of the networks."""
    table = _known(prefixes)
    return {prefix for network in networks for prefix, _ in table.holding(network)}
