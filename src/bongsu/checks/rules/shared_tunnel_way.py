"""ACC014: two tunnels for a spare, and one accelerator under both."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Connections of several tunnels, all through one egress address; and single accelerated ones."""
    ways: dict[str, list[tuple[str, str]]] = {}
    for ride in scene.rides:
        ways.setdefault(ride.connection.name, []).append((ride.pipe.name, ride.name))
    for connection in scene.connections:
        found = ways.get(connection.name, [])
        if found and len(connection.tunnels) == 1:
            yield Finding(
                "ACC014",
                Severity.WARNING,
                (*connection.at, "tunnels"),
                f"one tunnel through {found[0][1]}: the far gateway's maintenance, or its address, takes "
                "the connection down",
                "a second accelerator and the gateway's other address, as a tunnel of their own",
            )
        shared = {name for _, name in found}
        if len(found) > 1 and len(shared) == 1:
            yield Finding(
                "ACC014",
                Severity.ERROR,
                (*connection.at, "tunnels", found[1][0], "accelerator"),
                f"{found[0][0]} and {found[1][0]} enter {found[0][1]} by one address: to the gateways "
                "they are one, and the second ends the first",
                "an accelerator of its own, with its own address, for each tunnel",
            )
