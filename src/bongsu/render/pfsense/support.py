"""What pfSense 2.5.2 to 2.7 can and cannot do, as far as a plan may ask for it."""

import re

from bongsu.plan.node import NodePlan
from bongsu.render.text import RenderError

INTERFACE = re.compile(r"wan|lan|opt[0-9]{1,3}")
"""Interfaces by the names config.xml has for them, whatever their description says."""


def refuse_unsupported(plan: NodePlan) -> None:
    """Raise RenderError that names everything in the plan that pfSense cannot be made to do."""
    reasons = [
        f"interface {item.name}: pfSense knows its interfaces as wan, lan, opt1, opt2, ..."
        for item in plan.interfaces
        if not INTERFACE.fullmatch(item.name)
    ]
    for tunnel in plan.tunnels:
        if tunnel.key is not None:
            reasons.append(f"tunnel {tunnel.name}: its GRE has no key; take `key` out")
        if tunnel.keepalive is not None:
            reasons.append(
                f"tunnel {tunnel.name}: it sends no GRE keepalive; set `keepalive: false` at both ends"
            )
        elif tunnel.peer_keepalive is not None:
            reasons.append(
                f"tunnel {tunnel.name}: it sends no GRE keepalive back, so {tunnel.peer} would call "
                "the tunnel dead; set `keepalive: false` at both ends"
            )
    if plan.announcements or plan.external:
        reasons.append("it is rendered as a home only; announce from a Linux PoP")
    if reasons:
        raise RenderError(f"{plan.node} is a pfSense: " + "; ".join(reasons))
