"""The cloud's side: its console's steps with every value filled in."""

from collections.abc import Iterator

from bongsu.render.helper.console import Desk, console_steps
from bongsu.render.helper.page import Block
from bongsu.render.helper.scene import Scene
from bongsu.render.helper.values import facts


def cloud_steps(scene: Scene) -> Iterator[list[Block]]:
    """One list of blocks for each step, the first of them its heading."""
    place = f"In {scene.profile.title}" if scene.profile.asn is not None else "There"
    yield from console_steps(
        Desk(
            console=scene.console,
            place=place,
            tunnels=scene.tunnels,
            values=scene.values(),
            facts=facts(scene.tunnels, dynamic=scene.dynamic),
            seen=lambda tunnel: tunnel.customer,
        )
    )
