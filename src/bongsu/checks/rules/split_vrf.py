"""GRE007: a keepalive comes out of the tunnel in a VRF that does not lead back."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.reflection import Obstacle


def check(scene: Scene) -> Iterator[Finding]:
    """Inside and outside VRF of the end that has to send keepalives back; none is one as well."""
    for watch in scene.watches:
        if Obstacle.VRF not in watch.prediction.reasons:
            continue
        inside, outside = (
            "the global table" if vrf is None else f"VRF {vrf}"
            for vrf in (watch.other.vrf, watch.other.transport_vrf)
        )
        yield Finding(
            "GRE007",
            Severity.ERROR,
            (*watch.at_far_end, "vrf") if watch.other.vrf is not None else watch.at_far_end,
            f"the inside of {watch.tunnel} is in {inside} at {watch.far} and its outside in "
            f"{outside}: a keepalive does not find the way back to {watch.other.remote}, and "
            f"{watch.sender} takes the tunnel down",
            "one VRF for both, or `keepalive: false` and a watch of another kind: "
            "a routing protocol, a probe",
        )
