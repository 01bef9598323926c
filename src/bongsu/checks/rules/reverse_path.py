"""GRE006: the far end's reverse path forwarding drops a keepalive."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.plan.reflection import Obstacle


def check(scene: Scene) -> Iterator[Finding]:
    """`rpf` at the end that has to send keepalives back, judged as its platform does it."""
    for watch in scene.watches:
        if Obstacle.RPF not in watch.prediction.reasons:
            continue
        loose = watch.far_platform is Platform.LINUX and watch.other.rpf == "strict"
        yield Finding(
            "GRE006",
            Severity.ERROR,
            (*watch.at_far_end, "rpf"),
            f"{watch.far} checks the way back of what leaves the tunnel ({watch.other.rpf}), and a "
            f"keepalive comes from {watch.other.local}, its own address: it is dropped, and "
            f"{watch.sender} takes {watch.tunnel} down",
            ("`rpf: loose`, which Linux passes it with, or " if loose else "")
            + f"no `rpf` at {watch.far}'s end, and an `inbound` list against forged sources",
        )
