"""LNX001: a Linux node is asked for what is not built yet."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.plan.linux import refusals


def check(scene: Scene) -> Iterator[Finding]:
    """Everything in the plan of a Linux node that no renderer writes and no agent builds."""
    found = (
        Finding("LNX001", Severity.ERROR, item.path, item.reason, item.remedy)
        for plan in scene.plans.values()
        if plan.platform is Platform.LINUX
        for item in refusals(plan)
    )
    # A tunnel between two of them is in both plans.
    yield from dict.fromkeys(found)
