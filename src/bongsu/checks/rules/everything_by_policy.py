"""VPN003: a policy that takes every packet of the machine."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Selectors of connections without an interface: everything, or as good as that."""
    for connection in scene.connections:
        if connection.routed:
            continue
        wide = [p for p in connection.tunnels[0].plan.remote_selectors if p.prefixlen <= 1]
        if not wide:
            continue
        stated = connection.vpn.selectors == "any"
        yield Finding(
            "VPN003",
            Severity.ERROR,
            (*connection.at, "selectors")
            if stated
            else ("clouds", connection.vpn.cloud, "networks"),
            f"without an interface of its own the tunnel takes all that goes to {wide[0]}: your "
            f"login at {connection.site}, its name server and its gateway with it",
            "`binding: xfrm` or `vti`, where routes say what goes in"
            + (", or `selectors: networks`" if stated else ", or the cloud's networks one by one"),
        )
