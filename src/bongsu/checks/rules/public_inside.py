"""ADR006: somebody else's public addresses inside a tunnel."""

from collections.abc import Iterator

from bongsu.checks.address import is_public
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene

_PRIVATE = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or a prefix of fd00::/8"


def check(scene: Scene) -> Iterator[Finding]:
    """Inside addresses that are public and not the owner's."""
    for name, tunnel in scene.network.tunnels.items():
        for node, end in tunnel.ends.items():
            for index, address in enumerate(end.addresses):
                if is_public(address.ip) and not scene.owned.holds(address.ip):
                    yield Finding(
                        "ADR006",
                        Severity.WARNING,
                        ("tunnels", name, "ends", node, "addresses", index),
                        f"{address.ip} is public and not the owner's: its real owner cannot be "
                        f"reached from {node}",
                        _PRIVATE,
                    )
    for connection, pipe in scene.pipes:
        inside = pipe.tunnel.inside
        if inside is not None and is_public(inside.ip) and not scene.owned.holds(inside.ip):
            yield Finding(
                "ADR006",
                Severity.WARNING,
                (*pipe.at, "inside"),
                f"{inside.ip} is public and not the owner's: its real owner cannot be reached from "
                f"{connection.site}",
                f"169.254.0.0/16 is usual, or {_PRIVATE}",
            )
