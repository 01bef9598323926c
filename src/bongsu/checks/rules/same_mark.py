"""VPN001: one mark on two tunnels of a node."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Marks of VTIs and `if_id`s of XFRM interfaces, across all connections of a site."""
    seen: dict[tuple[str, int], str] = {}
    for connection, pipe in scene.pipes:
        mark = pipe.tunnel.mark
        if mark is None or not connection.routed:
            continue
        first = seen.setdefault((connection.site, mark), pipe.name)
        if first != pipe.name:
            yield Finding(
                "VPN001",
                Severity.ERROR,
                (*pipe.at, "mark"),
                f"{first} and {pipe.name} both have the mark {mark}: what goes into one is encrypted "
                "for the other's gateway",
                "another number, or none: then one that is free is taken",
            )
