"""BGP010: more-specifics on failure that could never help."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Prefix
from bongsu.plan.node import AnnouncementPlan


def check(scene: Scene) -> Iterator[Finding]:
    """Announcements with `deaggregate_on_failure`."""
    for name, node in scene.network.nodes.items():
        for index, item in enumerate(node.announce):
            if item.deaggregate_on_failure is None:
                continue
            path = ("nodes", name, "announce", index, "deaggregate_on_failure")
            plan = scene.plans[name].announcements[index]
            error = _impossible(item.prefix, item.deaggregate_on_failure, plan)
            if error is not None:
                yield Finding("BGP010", Severity.ERROR, path, *error)
                continue
            for words, hint in _useless(scene, plan):
                yield Finding("BGP010", Severity.WARNING, path, words, hint)


def _impossible(prefix: Prefix, length: int, plan: AnnouncementPlan) -> tuple[str, str] | None:
    if length <= prefix.prefixlen:
        return (
            f"/{length} is no more specific than {prefix}",
            f"a length from {prefix.prefixlen + 1} on",
        )
    if not plan.more_specifics:
        return (
            f"{prefix} in parts of /{length} is more routes than a network of this kind may "
            "throw at the Internet",
            f"at most 256 parts: /{min(prefix.prefixlen + 8, prefix.max_prefixlen)}",
        )
    return None


def _useless(scene: Scene, plan: AnnouncementPlan) -> Iterator[tuple[str, str]]:
    others = scene.announcers[plan.prefix]
    if len(set(others)) < 2:
        yield (
            f"only {others[0]} announces {plan.prefix}: there is no other PoP to take over",
            "announce it at a second PoP, or leave this out",
        )
    for name in plan.tunnels:
        tunnel = scene.network.tunnels[name]
        if tunnel.bfd is None:
            yield (
                f"the tunnel {name} has no BFD, so nobody notices when its PoP is lost",
                f"tunnels.{name}.bfd: {{interval_ms: 300, multiplier: 3}}",
            )
        elif not tunnel.bgp:
            yield (
                f"the tunnel {name} has no BGP, by which home would tell the others",
                f"tunnels.{name}.bgp: true",
            )
