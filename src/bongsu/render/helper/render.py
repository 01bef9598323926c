"""A page for each VPN connection: what it is, the cloud's side, the site's side, the checks.

Secrets appear as their references only. Nothing here depends on the place or the time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bongsu.model.network import Network
from bongsu.plan.node import NodePlan
from bongsu.render.helper.accelerator import accelerator_steps, endpoint_steps
from bongsu.render.helper.checks import check_steps
from bongsu.render.helper.cloud import cloud_steps
from bongsu.render.helper.html import html
from bongsu.render.helper.markdown import markdown
from bongsu.render.helper.page import (
    Block,
    Code,
    Heading,
    Page,
    Paragraph,
    Plain,
    Table,
    text,
)
from bongsu.render.helper.scene import Scene
from bongsu.render.helper.site import site_steps


def render(
    network: Network, plans: Mapping[str, NodePlan], file: str = "network.yaml"
) -> dict[str, str]:
    """`{name: text}`: `VPN.md` and `VPN.html` for each connection of the network.

    `file` is what its commands call the network file.
    """
    found: dict[str, str] = {}
    for name, vpn in network.vpns.items():
        plan = plans[vpn.site]
        page = _page(Scene(network, name, vpn, plan), file)
        header = [
            f"Made by bongsu: VPN {name} of network {network.name}.",
            f"Plan of {vpn.site}: {plan.digest()}",
        ]
        found[f"{name}.md"] = markdown(page, header)
        found[f"{name}.html"] = html(page, header)
    return dict(sorted(found.items()))


def _page(scene: Scene, file: str) -> Page:
    steps: list[list[Block]] = [
        *accelerator_steps(scene, file),
        *cloud_steps(scene),
        *endpoint_steps(scene, file),
        *site_steps(scene, file),
        *check_steps(scene),
    ]
    title = text("VPN {vpn}: {site} to {cloud}", scene.values())
    return Page(title, (*_summary(scene), *_numbered(steps)))


def _numbered(steps: list[list[Block]]) -> Iterator[Block]:
    for number, (heading, *rest) in enumerate(steps, start=1):
        if isinstance(heading, Heading):
            yield replace(heading, text=(Plain(f"{number}. "), *heading.text))
        yield from rest


def _summary(scene: Scene) -> list[Block]:
    values = scene.values()
    how = "BGP" if scene.dynamic else "static routes"
    rows = tuple(
        (
            (Code(tunnel.name),),
            (Code(str(tunnel.headend)),),
            (Code(str(tunnel.inside)),) if tunnel.inside is not None else (Plain("none"),),
            (Code(str(tunnel.peer_inside)),)
            if tunnel.peer_inside is not None
            else (Plain("none"),),
            (Code(tunnel.psk),) if tunnel.psk is not None else (Plain("certificate"),),
        )
        for tunnel in scene.tunnels
    )
    return [
        Paragraph(
            text(
                "{site} ({site_networks}, AS {asn}, seen as {public}) to {cloud} ({cloud_networks}, AS"
                f" {{cloud_asn}}), IKEv{scene.tunnels[0].ike_version}, {how}. The cloud is"
                f" {scene.profile.title}: {scene.profile.gateway}.",
                values,
            )
        ),
        Table(("tunnel", "headend", "inside, ours", "inside, the cloud's", "key"), rows),
        Paragraph(
            text(
                "From top to bottom; do not go on while a check fails. The console's words are those"
                f" of: {scene.console.source}."
            )
        ),
    ]
