"""GRE013: a keepalive that is faster than the path."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import Watch, duration
from bongsu.model.node import Platform

REMEMBERED = 32
"""Requests of ours that an answer may belong to: five bits of the identification say which."""


def check(scene: Scene) -> Iterator[Finding]:
    """Intervals against the least that the path takes there and back.

    Once answers come, they come as often as requests are sent, whatever the path takes: only the first
    has to be there before the counter is at its limit.
    """
    told = set()
    for watch in scene.watches:
        if watch.path in told or watch.own.multipoint:
            continue
        limits: list[float] = [watch.detection_ms]
        if watch.platform is Platform.LINUX:
            limits.append(_forgotten_ms(watch))
        least = min(limits)
        delay = scene.delays.of(watch.own, watch.sender, watch.other, if_above_ms=least)
        if delay is None:
            continue
        told.add(watch.path)
        never = watch.platform is Platform.LINUX and delay.least_ms >= _forgotten_ms(watch)
        needed = f"takes {duration(delay.least_ms)}, that is what {delay.words}"
        if never:
            words = (
                f"{watch.tunnel} is up/down for ever: an answer {needed}, and by then {REMEMBERED} "
                "younger requests are under way and its own is forgotten"
            )
        else:
            words = (
                f"{watch.tunnel} is called dead at every start, {duration(watch.detection_ms)} after "
                f"the first request: an answer {needed}"
            )
        yield Finding(
            "GRE013",
            Severity.ERROR if never else Severity.WARNING,
            watch.path,
            words,
            f"interval times retries of {duration(2 * delay.least_ms)} or more"
            + (f", and an interval above {duration(delay.least_ms / REMEMBERED)}" if never else ""),
        )


def _forgotten_ms(watch: Watch) -> float:
    return REMEMBERED * watch.keepalive.interval_ns / 1e6
