"""RTE001: an announced prefix that no tunnel carries home."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Prefix


def check(scene: Scene) -> Iterator[Finding]:
    """Every announcement needs a tunnel to a home, with inside addresses of the prefix's family."""
    for name, plan in scene.plans.items():
        for index, item in enumerate(plan.announcements):
            words = _missing(scene, name, item.prefix, item.tunnels)
            if words is not None:
                yield Finding(
                    "RTE001",
                    Severity.ERROR,
                    ("nodes", name, "announce", index),
                    f"the world would be told that {item.prefix} is at {name}, and {words}",
                    f"a tunnel from {name} to the home of {item.prefix}",
                )


def _missing(scene: Scene, node: str, prefix: Prefix, tunnels: list[str]) -> str | None:
    if not tunnels:
        return "no tunnel carries it on"
    plan = [scene.lines[name].tunnel for name in tunnels]
    peers = [next(end for end in tunnel.ends if end != node) for tunnel in plan]
    if all(scene.network.nodes[peer].role != "home" for peer in peers):
        return f"{', '.join(tunnels[:3])} leads to no home"
    if not any(
        all(any(ip.version == prefix.version for ip in end.addresses) for end in item.ends.values())
        for item in plan
    ):
        return f"no tunnel of it has IPv{prefix.version} addresses inside"
    return None
