"""GRE005: keepalive on a tunnel over IPv6."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.tunnel import Tunnel


def check(scene: Scene) -> Iterator[Finding]:
    """Keepalives of tunnels whose outer addresses are IPv6; GRE004 is for ends that differ."""
    for name, line in scene.lines.items():
        if any(address.version == 4 for address in line.outer.values()):
            continue
        for path in dict.fromkeys(_stated(name, line.tunnel)):
            yield Finding(
                "GRE005",
                Severity.ERROR,
                path,
                "keepalives go over IPv4 only, and the outer addresses are IPv6: "
                "the agent would refuse the node",
                "use `bfd` instead, or give both ends an IPv4 underlay",
            )


def _stated(name: str, tunnel: Tunnel) -> Iterator[Path]:
    """Where the file says that an end sends keepalives."""
    for node, end in tunnel.ends.items():
        if end.keepalive:
            yield ("tunnels", name, "ends", node, "keepalive")
        elif end.keepalive is None and tunnel.keepalive:
            yield ("tunnels", name, "keepalive")
