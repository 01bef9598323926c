"""GRE014: keepalives that are faster than the BFD beside them."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import duration


def check(scene: Scene) -> Iterator[Finding]:
    """Detection times of `keepalive` and `bfd` on one tunnel."""
    told = set()
    for watch in scene.watches:
        bfd = watch.own.bfd
        if bfd is None or watch.own.multipoint or watch.path in told:
            continue
        by_bfd = bfd.interval_ms * bfd.multiplier
        if watch.detection_ms < by_bfd:
            told.add(watch.path)
            yield Finding(
                "GRE014",
                Severity.INFO,
                watch.path,
                f"keepalives call {watch.tunnel} dead after {duration(watch.detection_ms)}, BFD "
                f"after {duration(by_bfd)}: the line is gone before BFD says a word",
                "the fast one decides; make it the one that is meant",
            )
