"""How long a fault hurts: probes from every source while the fault is brought in."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bongsu.lab.probe.pinger import Pinger, Series, Source

BEFORE_S = 0.5
"""Service must be whole for so long before the fault, or the figure would mean nothing."""
CALM_S = 1.0
"""Service is back when every source has been answered for so long without a loss."""
POLL_S = 0.05
ON_THE_WAY_NS = 400_000_000
"""Longer than any round trip on Earth by cable; younger probes are not yet judged."""


@dataclass(frozen=True)
class Outage:
    """What each source went through."""

    at_ns: int
    """When the fault took effect, CLOCK_MONOTONIC."""
    gap_ms: dict[str, float]
    """Longest time without service, by source; 0 where nothing was lost."""
    lost: dict[str, int]
    sent: dict[str, int]
    recovered: bool
    """Every source had service again at the end."""
    series: tuple[Series, ...]

    @property
    def worst_ms(self) -> float:
        """The longest outage of any source."""
        return max(self.gap_ms.values(), default=0.0)


class ServiceNotWholeError(Exception):
    """A source had no answer even before the fault: an outage would mean nothing."""


def measure(
    sources: list[Source],
    inject: Callable[[], int],
    *,
    interval_s: float = 0.005,
    limit_s: float = 30.0,
) -> Outage:
    """Probe, call `inject` (it returns the CLOCK_MONOTONIC ns of the effect), wait until it heals.

    Gives up after `limit_s` and says so in `recovered`. Raises ServiceNotWholeError if a source was
    not served before the fault.
    """
    pinger = Pinger(sources, interval_s).start()
    stopped = False
    try:
        time.sleep(BEFORE_S)
        settled = time.monotonic_ns() - round(BEFORE_S * 0.5e9)
        before = [s.source.name for s in pinger.series if not s.answered_since(settled - 10**9)]
        if before:
            raise ServiceNotWholeError("no answer even before the fault: " + ", ".join(before))
        at_ns = inject()
        recovered = _wait_for_calm(pinger, at_ns, limit_s)
        series = pinger.stop()
        stopped = True
    finally:
        if not stopped:
            pinger.stop()
    # Probes on their way when the fault struck are part of the outage.
    since = at_ns - round(0.5e9)
    return Outage(
        at_ns=at_ns,
        gap_ms={s.source.name: s.longest_gap_ns(since) / 1e6 for s in series},
        lost={s.source.name: s.lost for s in series},
        sent={s.source.name: len(s.sent_ns) for s in series},
        recovered=recovered,
        series=tuple(series),
    )


def _wait_for_calm(pinger: Pinger, at_ns: int, limit_s: float) -> bool:
    deadline = at_ns + round(limit_s * 1e9)
    while (now := time.monotonic_ns()) < deadline:
        time.sleep(POLL_S)
        if now - at_ns < CALM_S * 1e9:
            continue
        # The youngest probes may still be on their way.
        if all(
            _calm(series, now - round(CALM_S * 1e9) - ON_THE_WAY_NS) for series in pinger.series
        ):
            return True
    return False


def _calm(series: Series, since_ns: int) -> bool:
    """Every probe sent since then was answered, apart from those that may be on their way."""
    until = time.monotonic_ns() - ON_THE_WAY_NS
    seen = False
    for sent, rtt in zip(reversed(series.sent_ns), reversed(series.rtt_ns), strict=False):
        if sent < since_ns:
            break
        if sent <= until:
            seen = True
            if rtt < 0:
                return False
    return seen
