"""GRE013: a keepalive is given up before its answer can be back."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import duration


def check(scene: Scene) -> Iterator[Finding]:
    """Interval times retries against the least that the path takes there and back."""
    told = set()
    for watch in scene.watches:
        if watch.path in told or watch.own.multipoint:
            continue
        given = watch.detection_ms
        delay = scene.delays.between(watch.sender, watch.far, if_above_ms=given)
        if delay is None:
            continue
        told.add(watch.path)
        certain = delay.least_ms >= given
        needed = duration(delay.least_ms)
        if not certain:
            needed += f" and up to {duration(delay.jitter_ms)} more"
        yield Finding(
            "GRE013",
            Severity.ERROR if certain else Severity.WARNING,
            watch.path,
            f"{watch.tunnel} is called dead {duration(given)} after the last answer, and an answer "
            + ("takes " if certain else "may take ")
            + f"{needed}: that is what {delay.words}",
            f"interval times retries above {duration(2 * (delay.least_ms + delay.jitter_ms))}",
        )
