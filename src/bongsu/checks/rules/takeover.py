"""VPN021: more-specifics for a cloud that could never help."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Prefix
from bongsu.model.node import Platform
from bongsu.plan.specifics import MOST_BITS

MOST_ROUTES = 100
"""Routes that AWS takes from a session before it closes it; nobody is known to take fewer."""


def check(scene: Scene) -> Iterator[Finding]:
    """Connections with `deaggregate_on_failure`."""
    for connection in scene.connections:
        bgp = connection.vpn.bgp
        if bgp is None or bgp.deaggregate_on_failure is None:
            continue
        path = (*connection.at, "bgp", "deaggregate_on_failure")
        announced = next((p.peer.announce for p in connection.tunnels if p.peer is not None), [])
        errors = [
            found
            for prefix in announced
            if (found := _impossible(prefix, bgp.deaggregate_on_failure)) is not None
        ]
        for words, hint in errors:
            yield Finding("VPN021", Severity.ERROR, path, words, hint)
        for words, hint in () if errors else _useless(connection):
            yield Finding("VPN021", Severity.WARNING, path, words, hint)


def _impossible(prefix: Prefix, length: int) -> tuple[str, str] | None:
    if length <= prefix.prefixlen:
        return (
            f"/{length} is no more specific than {prefix}",
            f"a length from {prefix.prefixlen + 1} on",
        )
    longest = min(prefix.prefixlen + MOST_BITS, prefix.max_prefixlen)
    if length > longest:
        return (
            f"{prefix} in parts of /{length} is more routes than are ever announced",
            f"/{prefix.prefixlen + 1}, two parts, does as well: longer is all that matters",
        )
    return None


def _useless(connection: Connection) -> Iterator[tuple[str, str]]:
    parts = sum(len(p.peer.more_specifics) for p in connection.tunnels[:1] if p.peer is not None)
    if parts > MOST_ROUTES:
        yield (
            f"{parts} more-specifics at once: AWS closes a session at {MOST_ROUTES} routes",
            "a shorter length: two parts of each prefix win as well as many",
        )
    if connection.node.platform is not Platform.LINUX:
        yield (
            f"{connection.site} is no Linux node, and it is the agent there that announces them",
            "leave it out: nothing is rendered for it",
        )
    elif len(connection.tunnels) < 2:
        yield (
            "there is no other tunnel by which they could be announced",
            "add the connection's second tunnel, or leave this out",
        )
    elif connection.vpn.probe is None:
        yield (
            "nothing notices a silent tunnel before BGP's hold timer or DPD, so the cloud has "
            "noticed as well by then",
            f"vpns.{connection.name}.probe: {{interval_ms: 200, misses: 3}}",
        )
