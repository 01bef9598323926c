"""Which renderers make a node's files: one row for each platform."""

from collections.abc import Callable

from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.render import text
from bongsu.render.bird import render as bird
from bongsu.render.ios import render as ios
from bongsu.render.netplan import render as netplan
from bongsu.render.nftables import render as nftables
from bongsu.render.pfsense import render as pfsense
from bongsu.render.sysctl import render as sysctl

Renderer = Callable[[NodePlan, list[str]], dict[str, str]]

RENDERERS: dict[Platform, tuple[Renderer, ...]] = {
    Platform.LINUX: (bird.render, netplan.render, nftables.render, sysctl.render),
    Platform.PFSENSE: (pfsense.render,),
    Platform.IOS: (ios.render,),
}


def render_platform(plan: NodePlan) -> dict[str, str]:
    """The files of all renderers of the plan's platform, by path in sorted order."""
    header = text.header(plan)
    files = {
        path: content
        for renderer in RENDERERS[plan.platform]
        for path, content in renderer(plan, header).items()
    }
    return dict(sorted(files.items()))
