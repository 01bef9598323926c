"""The page of a VPN Gateway, as Markdown and as HTML: its console's forms with every value.

    /alibaba/NODE.md, /alibaba/NODE.html

It runs no agent of ours. Secrets are references, and their values are typed by whoever has them.
"""

from collections.abc import Iterator
from dataclasses import replace

from bongsu.plan.alibaba import refusals
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.helper.console import console_steps
from bongsu.render.helper.html import html
from bongsu.render.helper.markdown import markdown
from bongsu.render.helper.page import Block, Check, Heading, Page, Paragraph, Plain, text
from bongsu.render.helper.service import service_desk
from bongsu.render.text import RenderError, name

DIRECTORY = "/alibaba"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}` of the two forms of the page."""
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} is Alibaba's VPN Gateway: " + "; ".join(reasons))
    page = Page(
        text("VPN Gateway {node} in Alibaba Cloud", {"node": plan.node}), tuple(_blocks(plan))
    )
    base = f"{DIRECTORY}/{name(plan.node)}"
    return {f"{base}.html": html(page, header[:2]), f"{base}.md": markdown(page, header[:2])}


def _blocks(plan: NodePlan) -> Iterator[Block]:
    of_vpn: dict[str, list[VpnTunnelPlan]] = {}
    for tunnel in plan.vpns:
        of_vpn.setdefault(tunnel.vpn, []).append(tunnel)
    if not of_vpn:
        yield Paragraph(text("It has no VPN, so there is nothing to type."))
    for tunnels in of_vpn.values():
        own = service_desk(plan, tunnels)
        yield Heading(2, text("VPN {vpn} to {cloud}", own.values))
        yield Paragraph(
            text(
                "From top to bottom; do not go on while a check fails. The far gateway's side is on the"
                " page that `bongsu render --helper` writes. The console's words are those of:"
                f" {own.console.source}."
            )
        )
        for number, (heading, *rest) in enumerate(console_steps(own), start=1):
            if isinstance(heading, Heading):
                yield replace(heading, level=3, text=(Plain(f"{number}. "), *heading.text))
            yield from rest
        yield Check((), text(f"When the far gateway is configured as well: {own.console.status}."))
