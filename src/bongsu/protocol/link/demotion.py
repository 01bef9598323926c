"""Whether a tunnel's routes count less: fast to begin, slow to end, like the verdict that it follows.

A degraded tunnel carries, but another one does it better. Routes that move forth and back harm more than
those that stay, so they come back only after a while of `up`, the longer the oftener they were moved.
What BGP itself lacks is no reason: without a session there is nothing to prefer. Nor is a probe that was
never answered: with a session the tunnel carries, and somebody drops echo. Time is an argument (monotonic,
ns).
"""

from dataclasses import dataclass

from bongsu.protocol.link.evidence import Cause, Layer
from bongsu.protocol.link.machine import NS, Verdict


@dataclass(frozen=True)
class Pace:
    """How long things have to last, seconds."""

    first_s: float = 3.0
    """Degraded for so long, unless it was up before: while it begins, not everything is there."""
    hold_s: float = 10.0
    """Up for so long before its routes count again."""
    most_s: float = 60.0
    """What the hold grows to, doubled by each demotion."""
    forgiven_s: float = 300.0
    """After so long without one it begins anew."""


class Demotion:
    """One tunnel. `weak`: what somebody before made of it; it ends as any other does."""

    def __init__(self, now: int, pace: Pace | None = None, *, weak: bool = False) -> None:
        self.pace = pace or Pace()
        self.weak = weak
        self.times = int(weak)
        """In a row, none forgiven."""
        self._verdict = Verdict.DOWN
        self._since = now
        self._ended = now
        self._was_up = False
        """Before it was degraded."""
        self._ailing: int | None = None
        """Since when it is degraded for a reason of its own."""

    @property
    def hold_s(self) -> float:
        """For how long it has to be up until it counts again."""
        return min(self.pace.hold_s * 2.0 ** max(0, self.times - 1), self.pace.most_s)

    def look(self, now: int, verdict: Verdict, cause: Cause | None) -> bool:
        """Take in the verdict of now; whether its routes count less."""
        if verdict is not self._verdict:
            self._was_up = self._verdict is Verdict.UP
            self._verdict, self._since = verdict, now
        if self._is_ailing(now, verdict, cause) and not self.weak:
            forgiven = now - self._ended >= self.pace.forgiven_s * NS
            self.times = 1 if forgiven else self.times + 1
            self.weak = True
        elif self.weak and verdict is Verdict.UP and now - self._since >= self.hold_s * NS:
            self.weak, self._ended = False, now
        return self.weak

    def _is_ailing(self, now: int, verdict: Verdict, cause: Cause | None) -> bool:
        if verdict is not Verdict.DEGRADED or not _of_the_tunnel(cause):
            self._ailing = None
            return False
        self._ailing = now if self._ailing is None else self._ailing
        return self._was_up or now - self._ailing >= self.pace.first_s * NS


def _of_the_tunnel(cause: Cause | None) -> bool:
    if cause is None or cause.layer in (Layer.BGP, Layer.ROUTE):
        return False
    return cause.code != "probe-silent"
