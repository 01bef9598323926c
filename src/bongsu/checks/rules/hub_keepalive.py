"""GRE009: a hub that watches all its spokes."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import Watch
from bongsu.model.node import Role


def check(scene: Scene) -> Iterator[Finding]:
    """Routers that send keepalives into many tunnels and have no other way to turn to.

    Where the hub's routes have an alternative, or BGP runs over the tunnel, it does turn to it and
    has to know. Announcing nodes and homes always have to.
    """
    both: dict[str, list[Watch]] = {}
    for watch in scene.watches:
        both.setdefault(watch.tunnel, []).append(watch)
    idle: dict[str, list[str]] = {}
    for watches in both.values():
        for watch in watches if len(watches) == 2 else ():
            if scene.is_hub(watch.sender) and _has_no_choice(scene, watch):
                idle.setdefault(watch.sender, []).append(watch.tunnel)
    for hub, tunnels in idle.items():
        yield Finding(
            "GRE009",
            Severity.INFO,
            ("nodes", hub),
            f"{hub} sends keepalives into {len(tunnels)} tunnels and has no other way to any of "
            "the far ends; for a spoke it is more important to know that its hub is lost",
            f"`keepalive: false` at {hub}'s ends, and keep it at the spokes",
        )


def _has_no_choice(scene: Scene, watch: Watch) -> bool:
    tunnel = scene.network.tunnels[watch.tunnel]
    router = scene.network.nodes[watch.sender].role is Role.ROUTER
    replaced = scene.use(watch.sender, watch.tunnel).replaced
    return router and not (replaced or tunnel.bgp or tunnel.multipoint)
