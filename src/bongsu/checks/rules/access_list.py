"""GRE008: an access list at the far end stops the keepalive."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.reflection import Obstacle, keepalive_route


def check(scene: Scene) -> Iterator[Finding]:
    """`inbound` of the end that has to send keepalives back."""
    for watch in scene.watches:
        if Obstacle.ACCESS not in watch.prediction.reasons:
            continue
        source, target = keepalive_route(watch.other)
        length = source.max_prefixlen
        yield Finding(
            "GRE008",
            Severity.ERROR,
            (*watch.at_far_end, "inbound"),
            f"the access list at {watch.far} does not permit the keepalive of {watch.sender}, "
            f"which is GRE from {source} to {target} when it comes out of the tunnel: "
            f"{watch.sender} takes {watch.tunnel} down",
            f"`{{permit: gre, from: {source}/{length}, to: {target}/{length}}}`, on IOS "
            f"`permit gre host {source} host {target}`",
        )
