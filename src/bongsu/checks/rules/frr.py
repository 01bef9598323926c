"""FRR001: FRR is asked for what it is not given."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform, RoutingDaemon
from bongsu.plan.frr import refusals


def check(scene: Scene) -> Iterator[Finding]:
    """Everything for which the renderer would refuse the node."""
    found = (
        Finding("FRR001", Severity.ERROR, item.path, item.reason, item.remedy)
        for plan in scene.plans.values()
        if plan.platform is Platform.LINUX and plan.routing is RoutingDaemon.FRR
        for item in refusals(plan)
    )
    # A tunnel between two of them is in both plans.
    yield from dict.fromkeys(found)
