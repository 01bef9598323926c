"""RTE002: a prefix that is carried to a home where nobody has it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Prefixes that arrive at a home against the networks of its LANs."""
    for name, plan in scene.plans.items():
        for item in plan.home:
            if item.interface is None:
                yield Finding(
                    "RTE002",
                    Severity.ERROR,
                    ("nodes", name, "interfaces"),
                    f"{item.prefix} arrives by {', '.join(item.tunnels[:3])}, and no LAN of {name} "
                    "has a part of it: it would go back to the Internet and round again",
                    f"an interface with `role: lan` and an address of {item.prefix}",
                )
