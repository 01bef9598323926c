"""The cloud's side: its console's steps with every value filled in."""

from collections.abc import Iterator

from bongsu.plan.cloud.console import Field, Step
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.helper.page import (
    Block,
    Bullets,
    Check,
    Code,
    Heading,
    Paragraph,
    Plain,
    Table,
    Text,
    plain_text,
    text,
)
from bongsu.render.helper.scene import Scene


def cloud_steps(scene: Scene) -> Iterator[list[Block]]:
    """One list of blocks for each step, the first of them its heading."""
    for step in scene.console.steps:
        if not step.each_tunnel:
            yield _step(scene, step, scene.values(), None)
            continue
        for tunnel in scene.tunnels:
            yield _step(scene, step, scene.tunnel_values(tunnel), tunnel)


def _step(
    scene: Scene, step: Step, values: dict[str, str], tunnel: VpnTunnelPlan | None
) -> list[Block]:
    where = f"In {scene.profile.title}" if scene.profile.asn is not None else "There"
    title = plain_text(step.title, values)
    blocks: list[Block] = [
        Heading(2, (Plain(title),)),
        Paragraph((Plain(f"{where}: {plain_text(step.where, values)}."),)),
    ]
    rows = tuple(
        ((Plain(plain_text(item.name, values)),), _value(item, values))
        for item in step.fields
        if _applies(scene, item, tunnel)
    )
    if rows:
        blocks.append(Table(("field", "value"), rows))
    if step.notes:
        blocks.append(Bullets(tuple(text(note, values) for note in step.notes)))
    if step.check:
        blocks.append(Check((), text(step.check, values)))
    return blocks


def _value(item: Field, values: dict[str, str]) -> Text:
    # Of a secret there is a reference only, and that is not what is typed.
    if "{psk}" in item.value:
        return text(item.value, values)
    return (Code(plain_text(item.value, values)),)


def _applies(scene: Scene, item: Field, tunnel: VpnTunnelPlan | None) -> bool:
    if item.when == "bgp":
        return scene.dynamic
    if item.when == "static":
        return not scene.dynamic
    if item.when == "inside":
        return tunnel is not None and tunnel.inside is not None
    return True
