"""VPN004: `vti_routing` that routes the machine's own packets into the tunnel, or nothing at all."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.model.vpn import Binding, IpsecDaemon


def check(scene: Scene) -> Iterator[Finding]:
    """Connections with `vti_routing` against their selectors, their binding and their daemon."""
    for connection in scene.connections:
        if not connection.vpn.vti_routing:
            continue
        at = (*connection.at, "vti_routing")
        why = _without_effect(connection)
        wide = [p for p in connection.tunnels[0].plan.remote_selectors if p.prefixlen <= 1]
        if why is not None:
            words = f"it has no effect: {why}"
            yield Finding("VPN004", Severity.WARNING, at, words, "leave it out")
        elif wide:
            yield Finding(
                "VPN004",
                Severity.ERROR,
                at,
                f"Libreswan would route {wide[0]} into the tunnel, the packets to its own gateway "
                f"with it: {connection.site} is off the net as soon as the tunnel is up",
                "leave it out: `bgp` or `static` route what the tunnel is for",
            )


def _without_effect(connection: Connection) -> str | None:
    if connection.vpn.binding is not Binding.VTI:
        return f"the binding is {connection.vpn.binding.value}, and this is a setting of VTIs"
    if connection.node.platform is not Platform.LINUX:
        return f"{connection.site} is no Linux node"
    if connection.node.ipsec is not IpsecDaemon.LIBRESWAN:
        return f"{connection.site} runs strongSwan, and this is a setting of Libreswan"
    return None
