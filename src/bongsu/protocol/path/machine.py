"""When to probe what, and what became of each probe. Time is an argument (monotonic, ns).

A cycle is one probe to the target; with every n-th cycle also goes a round: one probe for each hop on
the way. At mtr's pace every cycle has its round. Faster ones must not: routers answer about one expired
packet a second and sender (Linux: icmp_ratelimit), and what they do not answer would look like loss.

Probes to the target have an ordinary hop limit, but for those of a round: theirs is the distance last
seen. So a path that became longer is noticed without a packet more; the router that gives such a probe
up is a hop of the new path, and another probe goes to the target at once. It is no loss.

A probe is lost when `wait_ns` have passed without its answer; later answers do not count, nor does
a second one. What is in flight is bounded by the pace times the wait, which `Pace` refuses to let
grow past IN_FLIGHT.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from bongsu.model.base import Address
from bongsu.protocol.path.flow import SHORT, Flow, Kind

MS = 1_000_000
SECOND = 1_000_000_000

TARGET = 0
"""The hop limit of a probe to the target, as it is kept: not limited."""
MAX_HOPS = 30
UNKNOWN = 5
"""Hops asked beyond the last that answered: mtr gives up after as many silent ones."""
GAP_NS = 10 * MS
"""Between two probes of a round, so that they do not stand in each other's way."""
LATE_NS = 20 * MS
"""A sender later than this, and than a cycle, leaves out what it missed: no bursts."""
IN_FLIGHT = SHORT // 2
"""More could not be told apart where routers quote 8 bytes."""


@dataclass(frozen=True)
class Pace:
    """How often, how many, how patient. ValueError for what cannot be kept apart."""

    interval_ns: int = SECOND
    round_ns: int = SECOND
    """Between two rounds; rounded up to whole cycles."""
    wait_ns: int = 3 * SECOND
    count: int | None = None
    """Cycles; None for no end."""
    max_hops: int = MAX_HOPS

    def __post_init__(self) -> None:
        if self.interval_ns < MS or self.round_ns < MS or self.wait_ns < MS:
            raise ValueError("intervals and the wait are 1 ms or longer")
        if not 1 <= self.max_hops <= 255:
            raise ValueError("hops: 1 to 255")
        rounds = self.max_hops / max(self.round_ns, self.interval_ns)
        if self.wait_ns * (1 / self.interval_ns + rounds) > IN_FLIGHT:
            raise ValueError(
                f"more than {IN_FLIGHT} probes would be on their way: a longer interval, or a shorter wait"
            )

    @property
    def cycles_a_round(self) -> int:
        """Cycles from one round to the next."""
        return max(1, -(-self.round_ns // self.interval_ns))


class Probe(NamedTuple):
    """One to be sent now."""

    sequence: int
    ttl: int
    """The hop limit; TARGET for an ordinary one."""


class Flying(NamedTuple):
    """One on its way."""

    ttl: int
    sent_ns: int
    limit: int
    """The hop limit that it has: `ttl`, or for a probe to the target the distance."""


class Outcome(NamedTuple):
    """What became of a probe. `rtt_ns` is -1 and `sender` None if it was lost.

    `ttl` is TARGET for one to the target, whatever hop limit it had, unless a router gave it up.
    """

    sequence: int
    ttl: int
    sent_ns: int
    rtt_ns: int
    kind: Kind
    code: int
    sender: Address | None


@dataclass
class Told:
    """What was received and did not count."""

    foreign: int = 0
    """No answer to a probe of ours."""
    again: int = 0
    """An answer to a probe that had one, or was given up."""


class Machine:
    """One measurement, from its first cycle on; `sequence` and `cycles` go on from an earlier part."""

    def __init__(self, flow: Flow, pace: Pace, *, sequence: int = 0, cycles: int = 0) -> None:
        self.flow = flow
        self.pace = pace
        self.told = Told()
        self.cycles = cycles
        """Cycles begun, the earlier parts' too."""
        self.distance: int | None = None
        """Hops to the target, as the newest round knows it."""
        self._sequence = sequence
        self._stopped = False
        self._first = cycles
        self._next_cycle: int | None = None
        self._next_hop = 0
        self._round: deque[int] = deque()
        self._asked = 0
        self._highest = 0
        self._known_by = -1
        self._flying: dict[int, Flying] = {}
        self._once_more = 0
        self._ended: list[Outcome] = []

    @property
    def sending(self) -> bool:
        """Whether cycles are still to come."""
        return not self._stopped and (self.pace.count is None or self.cycles < self.pace.count)

    @property
    def finished(self) -> bool:
        """Nothing is to be sent, nothing on its way."""
        return not (self.sending or self._once_more or self._round or self._flying)

    @property
    def in_flight(self) -> int:
        """Probes whose fate is not known."""
        return len(self._flying)

    def wake(self, now: int) -> int | None:
        """When to call `poll` again; None if never."""
        times = []
        if self.sending:
            times.append(now if self._next_cycle is None else self._next_cycle)
        if self._once_more:
            times.append(now)
        if self._round:
            times.append(self._next_hop)
        if self._flying:
            oldest = next(iter(self._flying.values()))
            times.append(oldest.sent_ns + self.pace.wait_ns + 1)
        return min(times, default=None)

    def poll(self, now: int) -> list[Probe]:
        """Give up what was waited for long enough; the probes that are due."""
        self._give_up(now)
        probes: list[Probe] = []
        if self._next_cycle is None:
            self._next_cycle = now
        while self._once_more:
            self._once_more -= 1
            probes.append(self._launch(TARGET, TARGET, now))
        while self.sending and self._next_cycle <= now:
            limit = TARGET
            if (self.cycles - self._first) % self.pace.cycles_a_round == 0 and not self._round:
                self._begin_round(now)
                limit = self.distance or TARGET
            probes.append(self._launch(TARGET, limit, now))
            self.cycles += 1
            self._next_cycle += self.pace.interval_ns
            if self._next_cycle < now - max(LATE_NS, self.pace.interval_ns):
                self._next_cycle = now
        while self._round and self._next_hop <= now:
            ttl = self._round.popleft()
            probes.append(self._launch(ttl, ttl, now))
            self._next_hop += self._gap
        return probes

    def sent(self, sequence: int, now: int) -> None:
        """The moment at which a probe of `poll` really goes."""
        if sequence in self._flying:
            self._flying[sequence] = self._flying[sequence]._replace(sent_ns=now)

    def receive(self, data: bytes, sender: Address, arrived: int) -> bool:
        """Whether what a raw ICMP socket received, at this time, is an answer that counts."""
        answer = self.flow.decode(data, sender, self._sequence - 1)
        if answer is None:
            self.told.foreign += 1
            return False
        flying = self._flying.get(answer.sequence)
        rtt = 0 if flying is None else max(arrived - flying.sent_ns, 0)
        if flying is None or rtt > self.pace.wait_ns:
            self.told.again += 1
            return False
        del self._flying[answer.sequence]
        ttl = flying.ttl
        if ttl == TARGET and flying.limit != TARGET and answer.kind is Kind.EXCEEDED:
            ttl = flying.limit
            self._once_more += not self._stopped
        self._ended.append(
            Outcome(answer.sequence, ttl, flying.sent_ns, rtt, answer.kind, answer.code, sender)
        )
        if flying.limit != TARGET:
            self._learn(flying.limit, answer.sequence, answer.kind)
        return True

    def take(self) -> list[Outcome]:
        """The outcomes since the last call, in the order in which they were decided."""
        taken, self._ended = self._ended, []
        return taken

    def stop(self) -> None:
        """Send no more; what is in flight is still waited for."""
        self._stopped = True
        self._once_more = 0
        self._round.clear()

    @property
    def _gap(self) -> int:
        cycle = self.pace.cycles_a_round * self.pace.interval_ns
        return min(GAP_NS, cycle // (self._limit + 1))

    @property
    def _limit(self) -> int:
        """The last hop that a round asks; the probe to the target is behind it."""
        if self.distance is not None:
            return self.distance - 1
        return min(self._highest + UNKNOWN, self.pace.max_hops)

    def _begin_round(self, now: int) -> None:
        self._round.extend(range(1, self._limit + 1))
        self._asked = self._limit
        self._next_hop = now + self._gap

    def _launch(self, ttl: int, limit: int, now: int) -> Probe:
        probe = Probe(self._sequence, limit)
        self._sequence += 1
        self._flying[probe.sequence] = Flying(ttl, now, limit)
        return probe

    def _give_up(self, now: int) -> None:
        while self._flying:
            sequence = next(iter(self._flying))
            old = self._flying[sequence]
            if now - old.sent_ns <= self.pace.wait_ns:
                return
            del self._flying[sequence]
            self._ended.append(Outcome(sequence, old.ttl, old.sent_ns, -1, Kind.LOST, 0, None))

    def _learn(self, ttl: int, sequence: int, kind: Kind) -> None:
        """How far the target is; only news of the newest probes counts."""
        if kind is Kind.REPLY:
            if self.distance is None or ttl <= self.distance:
                self.distance, self._known_by = ttl, sequence
                self._highest = ttl - 1
                self._round = deque(hop for hop in self._round if hop < ttl)
            return
        if kind is Kind.UNREACHABLE:
            return
        if self.distance is not None:
            if ttl < self.distance or sequence < self._known_by:
                return
            # a router stands where the target was: the path is longer than it used to be
            self.distance = None
        self._highest = max(self._highest, ttl)
        if not self._stopped:
            self._round.extend(range(self._asked + 1, self._limit + 1))
            self._asked = max(self._asked, self._limit)
