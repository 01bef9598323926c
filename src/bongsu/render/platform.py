"""Which renderers make a node's files: one row for each platform."""

from collections.abc import Callable

from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.render import text
from bongsu.render.alibaba import render as alibaba
from bongsu.render.bird import render as bird
from bongsu.render.firewalld import render as firewalld
from bongsu.render.frr import render as frr
from bongsu.render.ios import render as ios
from bongsu.render.libipsec import render as libipsec
from bongsu.render.libreswan import render as libreswan
from bongsu.render.netplan import render as netplan
from bongsu.render.nftables import render as nftables
from bongsu.render.pfsense import render as pfsense
from bongsu.render.strongswan import render as strongswan
from bongsu.render.sysctl import render as sysctl
from bongsu.render.vyos import render as vyos

Renderer = Callable[[NodePlan, list[str]], dict[str, str]]

RENDERERS: dict[Platform, tuple[Renderer, ...]] = {
    # Those of daemons that the node does not run, and of VPNs it does not have, give no files.
    Platform.LINUX: (
        bird.render,
        frr.render,
        strongswan.render,
        libreswan.render,
        libipsec.render,
        firewalld.render,
        netplan.render,
        nftables.render,
        sysctl.render,
    ),
    Platform.PFSENSE: (pfsense.render,),
    Platform.IOS: (ios.render,),
    Platform.VYOS: (vyos.render,),
    Platform.ALIBABA: (alibaba.render,),
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
