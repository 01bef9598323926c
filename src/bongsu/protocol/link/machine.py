"""The verdict on one link: up, degraded or down; fast down, slow up.

What does not carry is down at once. What carries again has to do so for a while before routes come
back, the longer the oftener it fell: a link that flaps does more harm than one that is away. A weak
moment, such as a rekeying, is no news; a weak while is. Time is an argument (monotonic, ns).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from bongsu.protocol.link.evidence import Cause, Evidence, Health, judge

NS = 1_000_000_000


class Verdict(StrEnum):
    """Whether routes may use the link: not when it is down."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"

    @property
    def carries(self) -> bool:
        return self is not Verdict.DOWN


@dataclass(frozen=True)
class Config:
    """How long things have to last, seconds."""

    settle_s: float = 3.0
    """Weak for so long is degraded; good for so long is up again."""
    hold_s: float = 1.0
    """A link that fell has to carry for so long before it counts."""
    most_s: float = 30.0
    """What the hold grows to, doubled by each fall."""
    forgiven_s: float = 60.0
    """Up for so long, a link begins anew."""


class Event(Enum):
    """What a look says, with what came before it."""

    BAD = "it does not carry"
    WEAK = "weak, but not for long"
    WEAK_LONG = "weak for a while"
    GOOD = "good, but not for long"
    GOOD_LONG = "good for a while"


TABLE: dict[tuple[Verdict, Event], Verdict] = {
    (Verdict.UP, Event.BAD): Verdict.DOWN,
    (Verdict.UP, Event.WEAK): Verdict.UP,
    (Verdict.UP, Event.WEAK_LONG): Verdict.DEGRADED,
    (Verdict.UP, Event.GOOD): Verdict.UP,
    (Verdict.UP, Event.GOOD_LONG): Verdict.UP,
    (Verdict.DEGRADED, Event.BAD): Verdict.DOWN,
    (Verdict.DEGRADED, Event.WEAK): Verdict.DEGRADED,
    (Verdict.DEGRADED, Event.WEAK_LONG): Verdict.DEGRADED,
    (Verdict.DEGRADED, Event.GOOD): Verdict.DEGRADED,
    (Verdict.DEGRADED, Event.GOOD_LONG): Verdict.UP,
    (Verdict.DOWN, Event.BAD): Verdict.DOWN,
    (Verdict.DOWN, Event.WEAK): Verdict.DOWN,
    (Verdict.DOWN, Event.WEAK_LONG): Verdict.DEGRADED,
    (Verdict.DOWN, Event.GOOD): Verdict.DOWN,
    (Verdict.DOWN, Event.GOOD_LONG): Verdict.UP,
}


@dataclass(frozen=True)
class Change:
    """The verdict is another one."""

    verdict: Verdict
    before: Verdict
    cause: Cause | None
    """None once all holds."""


class LinkMachine:
    """One link. Down at first, it may come up at once: it has not fallen yet.

    `verdict`: what somebody before found it to be, so that a new judge does not begin with a fall.
    """

    def __init__(
        self, now: int, config: Config | None = None, verdict: Verdict = Verdict.DOWN
    ) -> None:
        self.config = config or Config()
        self.verdict = verdict
        self.since = now
        """When the verdict last changed."""
        self.cause: Cause | None = None
        """Why it is not up, of the last look."""
        self.falls = 0
        """In a row, none forgiven."""
        self._now = now
        self._health = Health.BAD if verdict is Verdict.DOWN else Health.GOOD
        self._health_since = now
        self._carries_since = now
        self._rose = now
        self._been_up = verdict is Verdict.UP

    @property
    def hold_s(self) -> float:
        """For how long it has to carry before it is up again."""
        if self.falls == 0:
            return 0.0
        return min(self.config.hold_s * 2.0 ** (self.falls - 1), self.config.most_s)

    def look(self, now: int, seen: Evidence) -> Change | None:
        """Take in what is known now. ValueError if time goes back."""
        if now < self._now:
            raise ValueError("time does not go back")
        self._now = now
        health, self.cause = judge(seen)
        if health is not self._health:
            if self._health is Health.BAD:
                self._carries_since = now
            self._health, self._health_since = health, now
        before = self.verdict
        self.verdict = TABLE[before, self._event(now)]
        self._been_up |= self.verdict is Verdict.UP
        if self.verdict is before:
            return None
        if self.verdict is Verdict.DOWN:
            self._fell(now)
        # From down to degraded to up it is one rise, and its age counts from the first.
        if not (before.carries and self.verdict.carries):
            self._rose = now
        self.since = now
        return Change(self.verdict, before, self.cause)

    def _fell(self, now: int) -> None:
        forgiven = now - self._rose >= self.config.forgiven_s * NS
        self.falls = 1 if forgiven else self.falls + 1

    def _event(self, now: int) -> Event:
        if self._health is Health.BAD:
            return Event.BAD
        if self.verdict is Verdict.DOWN:
            long = now - self._carries_since >= self.hold_s * NS
        else:
            # On its first rise, step by step, there is nothing yet to be unsure of.
            settle_s = self.config.settle_s if self._been_up else 0.0
            long = now - self._health_since >= settle_s * NS
        if self._health is Health.WEAK:
            return Event.WEAK_LONG if long else Event.WEAK
        return Event.GOOD_LONG if long else Event.GOOD
