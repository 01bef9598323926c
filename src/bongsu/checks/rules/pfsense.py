"""PFS001: a pfSense is asked for what it cannot do."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.plan.pfsense import refusals


def check(scene: Scene) -> Iterator[Finding]:
    """Everything for which the renderer would refuse the node."""
    found = (
        Finding("PFS001", Severity.ERROR, item.path, item.reason, item.remedy)
        for plan in scene.plans.values()
        if plan.platform is Platform.PFSENSE
        for item in refusals(plan)
    )
    # A tunnel between two of them is in both plans.
    yield from dict.fromkeys(found)
