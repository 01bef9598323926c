"""BGP005: a hold time that is too short to survive a busy moment, or too long to notice a death."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.vpn import VpnBgp

SHORTEST_S = 9
"""Three keepalives of three seconds."""
LONGEST_S = 180
"""The default of the makers that are slowest to let go."""


def check(scene: Scene) -> Iterator[Finding]:
    """Hold times of external neighbors and of sessions with clouds."""
    for name, node in scene.network.nodes.items():
        for key, neighbor in node.bgp.neighbors.items():
            path = ("nodes", name, "bgp", "neighbors", key, "hold_s")
            if neighbor.hold_s < SHORTEST_S:
                yield Finding(
                    "BGP005",
                    Severity.WARNING,
                    path,
                    f"a hold time of {neighbor.hold_s} s drops the session when either side is "
                    "busy for a moment",
                    "find dead links with `bfd`, and leave the hold time at 90",
                )
            elif neighbor.hold_s > LONGEST_S and neighbor.bfd is None:
                yield Finding(
                    "BGP005",
                    Severity.WARNING,
                    path,
                    f"a dead neighbor draws traffic for {neighbor.hold_s} s before it is given up",
                    "90 is usual; `bfd` where the neighbor offers it",
                )
    for connection in scene.connections:
        if connection.vpn.bgp is not None:
            yield from _cloud(connection, connection.vpn.bgp)


def _cloud(connection: Connection, bgp: VpnBgp) -> Iterator[Finding]:
    at = (*connection.at, "bgp")
    if bgp.keepalive_s >= bgp.hold_s:
        yield Finding(
            "BGP005",
            Severity.ERROR,
            (*at, "keepalive_s"),
            f"a keepalive every {bgp.keepalive_s} s comes after the hold time of {bgp.hold_s}: the "
            "session ends as soon as it is quiet",
            f"`keepalive_s: {max(bgp.hold_s // 3, 1)}`, a third (RFC 4271 section 4.4)",
        )
    elif 3 * bgp.keepalive_s > bgp.hold_s:
        yield Finding(
            "BGP005",
            Severity.WARNING,
            (*at, "keepalive_s"),
            f"less than three keepalives of {bgp.keepalive_s} s fit into the hold time of "
            f"{bgp.hold_s}: one that is late may end the session",
            f"`keepalive_s: {max(bgp.hold_s // 3, 1)}`, a third (RFC 4271 section 4.4)",
        )
    watched = bgp.bfd is not None or connection.vpn.probe is not None
    if bgp.hold_s < SHORTEST_S:
        yield Finding(
            "BGP005",
            Severity.WARNING,
            (*at, "hold_s"),
            f"a hold time of {bgp.hold_s} s drops the session when either side is busy for a moment",
            "find dead tunnels with `probe`, and leave the hold time at 30",
        )
    elif bgp.hold_s > LONGEST_S and not watched:
        yield Finding(
            "BGP005",
            Severity.WARNING,
            (*at, "hold_s"),
            f"a dead tunnel draws traffic for {bgp.hold_s} s before it is given up",
            "30 is usual; `probe` finds it in a second",
        )
