"""GRE003: only one end would notice that the tunnel is dead."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.model.tunnel import Tunnel

SILENT = (Platform.PFSENSE,)
"""Platforms that send no GRE keepalives, whatever the file says."""


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with keepalives from one end only and no BFD, which would tell both."""
    for name, tunnel in scene.network.tunnels.items():
        if tunnel.bfd is not None and tunnel.bgp:
            continue
        sends = {node: _sends(scene, tunnel, node) for node in tunnel.ends}
        if len(set(sends.values())) == 1:
            continue
        sender = next(node for node, does in sends.items() if does)
        blind = next(node for node, does in sends.items() if not does)
        yield Finding(
            "GRE003",
            Severity.WARNING,
            ("tunnels", name, "ends", blind),
            f"only {sender} sends keepalives: when the tunnel dies, {blind} goes on sending into it",
            _hint(scene, blind),
        )


def _hint(scene: Scene, blind: str) -> str:
    if scene.network.nodes[blind].platform in SILENT:
        return f"`bfd` on the tunnel instead: {blind} is a pfSense and sends no keepalives"
    return f"`keepalive` at {blind} too, or `bfd` on the tunnel"


def _sends(scene: Scene, tunnel: Tunnel, node: str) -> bool:
    if scene.network.nodes[node].platform in SILENT:
        return False
    keepalive = tunnel.ends[node].keepalive
    return keepalive is not False and (keepalive or tunnel.keepalive) is not None
