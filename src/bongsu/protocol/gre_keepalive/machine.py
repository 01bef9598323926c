"""The keepalive's state machine: line protocol up or down, by counting unanswered requests.

As IOS has it: each request raises the counter, a reply puts it back to 0; if the counter has
reached `retries` when the next request is due, the line protocol goes down. Requests go on while it
is down, and `up_after` replies in a row bring it up (Cisco: the first). Time is an argument
(monotonic, ns); there is no clock, no socket and no packet here. Whoever builds the same in another
language has to agree with TABLE cell by cell.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Self

from bongsu.model.tunnel import Keepalive

NS = 1_000_000_000

SECONDS = range(1, 32768)
MILLISECONDS = range(5, 60001)
RETRIES = range(1, 256)
UP_AFTER = range(1, 256)


@dataclass(frozen=True)
class Config:
    """`keepalive SECONDS RETRIES`, and what Cisco has not. ValueError outside the ranges above."""

    seconds: int = 10
    retries: int = 3
    milliseconds: int | None = None
    """The interval in milliseconds, in place of `seconds`."""
    up_after: int = 1
    """Replies in a row that bring the line protocol up."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("seconds", self.seconds, SECONDS),
            ("retries", self.retries, RETRIES),
            ("milliseconds", self.milliseconds, MILLISECONDS),
            ("up_after", self.up_after, UP_AFTER),
        ):
            if value is not None and value not in allowed:
                raise ValueError(f"keepalive {name} {value}: {allowed[0]} to {allowed[-1]}")

    @classmethod
    def of(cls, keepalive: Keepalive) -> Self:
        """What the network file says."""
        return cls(keepalive.seconds, keepalive.retries, keepalive.milliseconds, keepalive.up_after)

    @property
    def interval_ns(self) -> int:
        """Nanoseconds between two requests."""
        if self.milliseconds is not None:
            return self.milliseconds * 1_000_000
        return self.seconds * NS


@dataclass(frozen=True)
class Send:
    """Send one request."""

    counter: int
    """Requests without an answer, this one included."""


@dataclass(frozen=True)
class LineUp:
    """The line protocol came up: `up_after` replies in a row arrived."""


@dataclass(frozen=True)
class LineDown:
    """The line protocol went down."""

    unanswered: int


@dataclass(frozen=True)
class Wake:
    """Call `tick` again at this time; replaces the deadline given before."""

    at: int


Action = Send | LineUp | LineDown | Wake


class Line(Enum):
    """Cisco's line protocol."""

    UP = "up"
    DOWN = "down"


class Event(Enum):
    """What can happen, told apart by the two counts so that the table alone decides."""

    EARLY = "tick before the deadline"
    DUE = "deadline, counter below retries"
    EXHAUSTED = "deadline, counter has reached retries"
    REPLY = "reply, more of them are called for"
    ENOUGH = "reply, with it up_after in a row"


class Transition(NamedTuple):
    """The line afterwards, and what is done, in the order of the fields."""

    line: Line
    announces: bool = False
    clears: bool = False
    """The counter goes to 0."""
    counts: bool = False
    """The streak goes up by 1."""
    forgets: bool = False
    """The streak goes to 0."""
    sends: bool = False
    """The counter goes up by 1, a request is sent, and the next deadline is set."""


TABLE: dict[tuple[Line, Event], Transition] = {
    (Line.UP, Event.EARLY): Transition(Line.UP),
    (Line.UP, Event.DUE): Transition(Line.UP, sends=True),
    (Line.UP, Event.EXHAUSTED): Transition(Line.DOWN, announces=True, sends=True),
    (Line.UP, Event.REPLY): Transition(Line.UP, clears=True),
    (Line.UP, Event.ENOUGH): Transition(Line.UP, clears=True),
    (Line.DOWN, Event.EARLY): Transition(Line.DOWN),
    (Line.DOWN, Event.DUE): Transition(Line.DOWN, sends=True),
    (Line.DOWN, Event.EXHAUSTED): Transition(Line.DOWN, forgets=True, sends=True),
    (Line.DOWN, Event.REPLY): Transition(Line.DOWN, clears=True, counts=True),
    (Line.DOWN, Event.ENOUGH): Transition(Line.UP, announces=True, clears=True, forgets=True),
}


class KeepaliveMachine:
    """One end of one tunnel. `now` is monotonic nanoseconds and never goes back (ValueError)."""

    def __init__(self, config: Config, now: int, *, line: Line = Line.UP) -> None:
        self.config = config
        self.line = line
        self.counter = 0
        """Requests sent since the last reply."""
        self.streak = 0
        """Replies in a row while the line is down; 0 while it is up."""
        self.deadline = now
        """When the next request is due: the first at once."""
        self.changed = now
        """When the line protocol last changed."""
        self._now = now

    def tick(self, now: int) -> list[Action]:
        """Time has passed. Always ends with the next deadline."""
        self._advance(now)
        if now < self.deadline:
            event = Event.EARLY
        elif self.counter >= self.config.retries:
            event = Event.EXHAUSTED
        else:
            event = Event.DUE
        return [*self._apply(event, now), Wake(self.deadline)]

    def reply(self, now: int) -> list[Action]:
        """A reply to a request of ours arrived, for the first time."""
        self._advance(now)
        enough = self.streak + 1 >= self.config.up_after
        return self._apply(Event.ENOUGH if enough else Event.REPLY, now)

    def _apply(self, event: Event, now: int) -> list[Action]:
        transition = TABLE[self.line, event]
        actions: list[Action] = []
        self.line = transition.line
        if transition.announces:
            self.changed = now
            up = transition.line is Line.UP
            actions.append(LineUp() if up else LineDown(self.counter))
        if transition.clears:
            self.counter = 0
        if transition.counts:
            self.streak += 1
        if transition.forgets:
            self.streak = 0
        if transition.sends:
            self.counter += 1
            actions.append(Send(self.counter))
            # After a stall the missed deadlines are dropped: a burst would count as silence, and so
            # would a deadline that left an answer no time to come.
            late = now - self.deadline
            interval = self.config.interval_ns
            self.deadline = (now if 2 * late >= interval else self.deadline) + interval
        return actions

    def _advance(self, now: int) -> None:
        if now < self._now:
            raise ValueError("time does not go back")
        self._now = now
