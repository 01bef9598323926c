"""ALI001: Alibaba's VPN Gateway is asked for what it cannot do, or what is not rendered for it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.plan.alibaba import refusals


def check(scene: Scene) -> Iterator[Finding]:
    """Everything for which the renderer would refuse the node."""
    found = (
        Finding("ALI001", Severity.ERROR, item.path, item.reason, item.remedy)
        for plan in scene.plans.values()
        if plan.platform is Platform.ALIBABA
        for item in refusals(plan)
    )
    # A connection's two tunnels say the same of it.
    yield from dict.fromkeys(found)
