"""LSW001: Libreswan is asked for what it cannot do."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.libreswan import refusals


def check(scene: Scene) -> Iterator[Finding]:
    """Everything for which the renderer would refuse the node."""
    for plan in scene.plans.values():
        if plan.platform is Platform.LINUX and plan.ipsec is IpsecDaemon.LIBRESWAN:
            for item in refusals(plan):
                yield Finding("LSW001", Severity.ERROR, item.path, item.reason, item.remedy)
