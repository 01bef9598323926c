"""RTE003: a tunnel whose own packets are routed into it."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.nesting import cycles
from bongsu.checks.scene import Scene
from bongsu.checks.table import PrefixTable

SHOWN = 8
"""Tunnels of a ring that are named."""


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels that need themselves, directly or by way of others."""
    for names in cycles(scene.graph):
        ends = " and ".join(str(address) for address in scene.lines[names[0]].outer.values())
        if len(names) == 1:
            words = f"packets between {ends}, the tunnel's own ends, are routed into the tunnel"
        else:
            more = ", ..." if len(names) > SHOWN else ""
            words = "each of these is routed into another: " + ", ".join(names[:SHOWN]) + more
        yield Finding(
            "RTE003",
            Severity.ERROR,
            ("tunnels", names[0]),
            f"{words}; it flaps or loops as soon as it is up",
            "underlay addresses outside of every prefix and network that tunnels carry",
        )
    for connection in scene.connections:
        yield from _headends(scene, connection)


def _headends(scene: Scene, connection: Connection) -> Iterator[Finding]:
    """Headends in what the cloud's side brings into the tables, where no better way is known."""
    into: PrefixTable[None] = PrefixTable()
    learned = [
        prefix for pipe in connection.tunnels if pipe.peer for prefix in pipe.peer.accept or []
    ]
    if not connection.routed:
        return  # policies let IKE and what it wraps pass
    for prefix in learned + (list(connection.cloud.networks) if connection.vpn.static else []):
        into.add(prefix, None)
    for pipe in connection.tunnels:
        for prefix, _ in into.holding(pipe.plan.remote):
            vrf = connection.node.interfaces[pipe.plan.underlay].vrf
            best = next(scene.ways.to(connection.site, pipe.plan.remote, vrf), None)
            if best is None or best.prefix.prefixlen < prefix.prefixlen:
                yield Finding(
                    "RTE003",
                    Severity.ERROR,
                    (*pipe.at, "headend"),
                    f"{pipe.plan.remote} is in {prefix}, which is routed into the tunnel: its own "
                    "packets go into it as soon as it is up, and it flaps",
                    f"a route to {pipe.plan.remote}/{pipe.plan.remote.max_prefixlen} by the uplink's "
                    f"gateway in nodes.{connection.site}.routes",
                )
            break
