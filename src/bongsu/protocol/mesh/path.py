"""Which way to take to another PoP: directly, or through a third one. Pure: takes `now`.

A way's cost is the time after which an answer may be expected, in ms:

    cost = RTT + jitter + 1000 * loss / (1 - loss)   (+ 1 for a third PoP)

Each packet is lost loss / (1 - loss) times on average before it arrives, and whoever waits for it sends
it again after a second (RFC 6298, 2.4: RTO of at least 1 s), so that is what a loss costs. One percent
weighs as much as 10 ms. Of two legs RTT and jitter add up, and what both carry arrives. A third PoP costs
a millisecond, since it is one more that can fail: where all is equal, the direct way is taken.

Losses are few and come by chance, so not all of them count against the way that is used: one is taken
off, and the square root of as many as there were, their standard deviation. Among equals the path would
follow chance otherwise: 90 changes an hour between five ways of 1 % loss, against some 15 so. What it
costs is time: loss of 50 % (there and back) is left after 4 s instead of 2, unless five in a row are
lost before, which is death.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bongsu.protocol.mesh.packet import Leg, State

RETRY_MS = 1000.0
THIRD_MS = 1.0
FIRST_NS = 2_000_000_000
"""A path that never changed may change so early: no other was left for it."""
LOST = 0.999
"""More loss than this costs no more: a way that lives has a cost."""
NS_PER_MS = 1e6


@dataclass(frozen=True)
class Way:
    """A way to a destination, as far as it is known."""

    state: State
    loss: float
    rtt_ns: int
    jitter_ns: int
    third: bool = False

    @property
    def cost_ms(self) -> float:
        """What it costs, as above."""
        loss = min(self.loss, LOST)
        own = (self.rtt_ns + self.jitter_ns) / NS_PER_MS + RETRY_MS * loss / (1 - loss)
        return own + (THIRD_MS if self.third else 0.0)


class Why(Enum):
    """What made a path change."""

    DEAD = "dead"
    BETTER = "better"
    GONE = "gone"
    """The third PoP is no peer any more."""


@dataclass(frozen=True)
class Change:
    """The path to a destination is another one now."""

    destination: int
    before: int
    after: int
    """Next hops; the destination itself where the way is direct."""
    why: Why
    left: Way | None
    """The way that was left; None if it is none any more."""
    taken: Way


@dataclass(frozen=True)
class Rules:
    """When another way is taken."""

    hold_ns: int
    better: float
    """How much cheaper another has to be, 0 to 1."""


def direct(leg: Leg) -> Way:
    """The way without a third PoP."""
    return Way(leg.state, leg.loss, leg.rtt_ns, leg.jitter_ns)


def through(first: Leg, second: Leg) -> Way:
    """The way over two legs: dead if one is, alive if both are."""
    if State.DEAD in (first.state, second.state):
        state = State.DEAD
    elif State.UNKNOWN in (first.state, second.state):
        state = State.UNKNOWN
    else:
        state = State.ALIVE
    return Way(
        state,
        1 - (1 - first.loss) * (1 - second.loss),
        first.rtt_ns + second.rtt_ns,
        first.jitter_ns + second.jitter_ns,
        third=True,
    )


class Path:
    """The way in use to one destination."""

    def __init__(
        self, destination: int, rules: Rules, now: int, next_hop: int | None = None
    ) -> None:
        """`next_hop` is what an earlier run left."""
        self.destination = destination
        self.rules = rules
        self.next_hop = destination if next_hop is None else next_hop
        self.since = now
        """Of the way in use; monotonic ns."""
        first = min(rules.hold_ns, FIRST_NS)
        self._held_until = now + (first if next_hop is None else rules.hold_ns)

    def look(self, now: int, ways: Mapping[int, Way], forgiven: float = 0.0) -> Change | None:
        """Choose among the ways there are, by next hop; `forgiven` loss is taken off the one in use.

        A dead one is left at once if another lives. A better one, and any in place of one of which
        nothing is known, is taken only after the hold.
        """
        alive = {hop: way for hop, way in ways.items() if way.state is State.ALIVE}
        used = ways.get(self.next_hop)
        others = {hop: way.cost_ms for hop, way in alive.items() if hop != self.next_hop}
        if used is None and self.destination in ways and not others:
            others = {self.destination: 0.0}
        if not others:
            return None
        # Of equal ones the direct way, then the lowest number: never a matter of chance.
        best = min(others, key=lambda hop: (others[hop], hop != self.destination, hop))
        if used is None:
            return self._take(now, best, Why.GONE, ways)
        if used.state is State.DEAD:
            return self._take(now, best, Why.DEAD, ways)
        if now < self._held_until:
            return None
        if used.state is State.UNKNOWN:
            return self._take(now, best, Why.DEAD, ways)
        spared = Way(
            used.state, max(0.0, used.loss - forgiven), used.rtt_ns, used.jitter_ns, used.third
        )
        if others[best] < spared.cost_ms * (1 - self.rules.better):
            return self._take(now, best, Why.BETTER, ways)
        return None

    def _take(self, now: int, hop: int, why: Why, ways: Mapping[int, Way]) -> Change:
        change = Change(
            self.destination, self.next_hop, hop, why, ways.get(self.next_hop), ways[hop]
        )
        self.next_hop, self.since = hop, now
        self._held_until = now + self.rules.hold_ns
        return change
