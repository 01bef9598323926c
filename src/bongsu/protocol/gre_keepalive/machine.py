"""The keepalive's state machine: line protocol up or down, by counting unanswered requests.

As IOS has it: each request raises the counter, a reply puts it back to 0; if the counter has
reached `retries` when the next request is due, the line protocol goes down. Requests go on while it
is down, and the first reply brings it up. Time is an argument (monotonic, ns); there is no clock,
no socket and no packet here.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

NS = 1_000_000_000


@dataclass(frozen=True)
class Config:
    """`keepalive SECONDS RETRIES`. ValueError if either is not positive."""

    seconds: float = 10
    retries: int = 3

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.retries < 1:
            raise ValueError("keepalive seconds and retries are positive")

    @property
    def interval_ns(self) -> int:
        return int(self.seconds * NS)


@dataclass(frozen=True)
class Send:
    """Send one request."""

    counter: int
    """Requests without an answer, this one included."""


@dataclass(frozen=True)
class LineUp:
    """The line protocol came up: a reply arrived."""


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
    """What can happen, told apart by the counter so that the table alone decides."""

    EARLY = "tick before the deadline"
    DUE = "deadline, counter below retries"
    EXHAUSTED = "deadline, counter has reached retries"
    REPLY = "reply"


class Transition(NamedTuple):
    """The line afterwards, and what is done, in this order: announce, count, send."""

    line: Line
    announces: bool = False
    sends: bool = False
    clears: bool = False


TABLE: dict[tuple[Line, Event], Transition] = {
    (Line.UP, Event.EARLY): Transition(Line.UP),
    (Line.UP, Event.DUE): Transition(Line.UP, sends=True),
    (Line.UP, Event.EXHAUSTED): Transition(Line.DOWN, announces=True, sends=True),
    (Line.UP, Event.REPLY): Transition(Line.UP, clears=True),
    (Line.DOWN, Event.EARLY): Transition(Line.DOWN),
    (Line.DOWN, Event.DUE): Transition(Line.DOWN, sends=True),
    (Line.DOWN, Event.EXHAUSTED): Transition(Line.DOWN, sends=True),
    (Line.DOWN, Event.REPLY): Transition(Line.UP, announces=True, clears=True),
}


class KeepaliveMachine:
    """One end of one tunnel. `now` is monotonic nanoseconds and never goes back (ValueError)."""

    def __init__(self, config: Config, now: int, *, line: Line = Line.UP) -> None:
        self.config = config
        self.line = line
        self.counter = 0
        """Requests sent since the last reply."""
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
        """A reply to a request of ours arrived."""
        self._advance(now)
        return self._apply(Event.REPLY, now)

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
        if transition.sends:
            self.counter += 1
            actions.append(Send(self.counter))
            # After a stall the missed deadlines are dropped: a burst would count as silence.
            late = now - self.deadline
            interval = self.config.interval_ns
            self.deadline = (now if late >= interval else self.deadline) + interval
        return actions

    def _advance(self, now: int) -> None:
        if now < self._now:
            raise ValueError("time does not go back")
        self._now = now
