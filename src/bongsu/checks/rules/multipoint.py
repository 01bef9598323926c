"""GRE010: keepalives on multipoint GRE."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.prediction import Outcome


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with `multipoint` and `keepalive`."""
    paths = {
        watch.path: watch
        for watch in scene.watches
        if watch.prediction.outcome is Outcome.NO_EFFECT
    }
    for path, watch in paths.items():
        yield Finding(
            "GRE010",
            Severity.WARNING,
            path,
            f"{watch.tunnel} is multipoint GRE, where a keepalive has no effect: the line protocol "
            "stays up whoever is lost",
            "take it out, and watch the peers by NHRP's registrations or a routing protocol",
        )
