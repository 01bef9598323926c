"""A node's share in the mesh: when to probe whom, what came of it, and which way to take to each PoP.

The probes of all peers are spread over time, and their interval grows with the number of peers so that
no more than `rate` leave in a second, whatever the file says of the interval. Answers are as many as
the peers' probes, which are bounded likewise; what is kept is bounded by `rate` times the window.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bongsu.model.accelerator import Mesh as Settings
from bongsu.protocol.mesh.packet import Answer, Leg, Probe, State, pack_vector
from bongsu.protocol.mesh.path import Change, Path, Rules, Way, direct, through
from bongsu.protocol.mesh.window import SEQUENCES, Figures, Window

MS = 1_000_000
SECOND = 1_000_000_000
LOOK_NS = 200 * MS
"""How often it is looked whether a path died."""
FIGURES_NS = SECOND
"""How often figures are reckoned of a whole window, and all ways compared."""
REPLAYED = 64
"""How far an earlier probe may arrive after a later one."""
EPOCHS = 4
"""Starts of a peer that are told apart."""
QUICKEST_NS = 20 * MS
"""The shortest interval that a file may ask for: nobody who follows his own asks more often."""
BURST = 16
"""Answers at once, to what was held up on its way."""


@dataclass
class _Heard:
    """Probes of a peer: which came already. A bit for each of the last ones, by the peer's epoch."""

    seen: dict[int, tuple[int, int]] = field(default_factory=dict)

    def fresh(self, epoch: int, sequence: int) -> bool:
        """Whether this one has not been here before; it is noted."""
        highest, bits = self.seen.pop(epoch, (sequence - 1 & SEQUENCES - 1, 0))
        ahead = (sequence - highest) % SEQUENCES
        new = False
        if 0 < ahead < SEQUENCES // 2:
            highest, bits, new = sequence, (bits << ahead | 1) & (1 << REPLAYED) - 1, True
        else:
            bit = 1 << (highest - sequence) % SEQUENCES
            new = bit < 1 << REPLAYED and not bits & bit
            bits |= bit if new else 0
        self.seen[epoch] = (highest, bits)
        while len(self.seen) > EPOCHS:
            del self.seen[next(iter(self.seen))]
        return new


@dataclass
class _Peer:
    number: int
    window: Window
    due: int
    path: Path
    figures: Figures = field(default_factory=Figures)
    leg: Leg = field(default_factory=Leg)
    """The same, as others are told of it."""
    vector: Mapping[int, Leg] = field(default_factory=dict)
    """What it says of its own legs."""
    told_ns: int = 0
    """When it said so last."""
    heard: _Heard = field(default_factory=_Heard)
    free_ns: int = 0
    """When the last answer would have left, had they left QUICKEST_NS apart."""


@dataclass
class Told:
    """What was received and did not count."""

    stranger: int = 0
    """A node that is no peer, or a packet that is for another."""
    again: int = 0
    """A probe that had been here, or an answer that nobody waits for any more."""
    fast: int = 0
    """Probes more often than any peer sends them."""


class Mesh:
    """The mesh as one node sees it. Times are monotonic nanoseconds, nodes are numbers."""

    def __init__(self, own: int, settings: Settings, epoch: int) -> None:
        """`epoch`: 64 bits drawn at random, so that answers to an earlier run do not count."""
        self.own = own
        self.epoch = epoch
        self.told = Told()
        self.settings = settings
        self._peers: dict[int, _Peer] = {}
        self._next_look = 0
        self._next_figures = 0
        self._vector: bytes | None = None

    @property
    def interval_ns(self) -> int:
        """Between two probes to one peer."""
        spread = math.ceil(len(self._peers) * SECOND / self.settings.rate)
        return max(self.settings.interval_ms * MS, spread)

    def follow(self, peers: Iterable[int], now: int, paths: Mapping[int, int] = {}) -> None:
        """Measure exactly these. One that stays keeps its window unless the interval is another.

        `paths` are next hops that an earlier run left; the way is direct without.
        """
        before, wanted = self.interval_ns, sorted(set(peers) - {self.own})
        kept = {number: self._peers[number] for number in wanted if number in self._peers}
        self._peers = dict.fromkeys(wanted)  # type: ignore[assignment]  # the interval is theirs
        interval = self.interval_ns
        settings = self.settings
        rules = Rules(settings.hold_s * SECOND, settings.better_percent / 100)
        for place, number in enumerate(wanted):
            due = now + place * interval // len(wanted)
            peer = kept.get(number)
            if peer is None:
                hop = paths.get(number)
                hop = hop if hop in wanted else None
                window = self._window(interval)
                peer = _Peer(number, window, due, Path(number, rules, now, hop))
            elif before != interval:
                peer.window, peer.due = self._window(interval), due
            self._peers[number] = peer
        self._vector = None

    def wake(self) -> int | None:
        """When to call `poll` next; None without a peer."""
        times = [peer.due for peer in self._peers.values()]
        return min([*times, self._next_look]) if times else None

    def poll(self, now: int) -> list[Probe]:
        """The probes that are to be sent now, at most one for each peer."""
        probes = []
        interval = self.interval_ns
        for peer in self._peers.values():
            if now < peer.due:
                continue
            # After a stall what was missed is left out: a burst says nothing more.
            peer.due += interval * (1 + (now - peer.due) // interval)
            probes.append(Probe(peer.number, self.own, self.epoch, peer.window.send(now)))
        return probes

    def hear(self, probe: Probe, now: int) -> bool:
        """A probe came, whose MAC and sender were right: whether it is to be answered."""
        peer = self._peers.get(probe.source)
        if peer is None or probe.destination != self.own:
            self.told.stranger += 1
            return False
        if not peer.heard.fresh(probe.epoch, probe.sequence):
            self.told.again += 1
            return False
        if peer.free_ns > now + BURST * QUICKEST_NS:
            self.told.fast += 1
            return False
        peer.free_ns = max(peer.free_ns, now) + QUICKEST_NS
        return True

    def take(self, answer: Answer, now: int) -> bool:
        """An answer that came at `now`, whose MAC and sender were right: whether it counts."""
        peer = self._peers.get(answer.source)
        if peer is None or answer.destination != self.own or answer.epoch != self.epoch:
            self.told.stranger += 1
            return False
        if not peer.window.answer(answer.sequence, now, answer.held_ns):
            self.told.again += 1
            return False
        if not answer.part:
            peer.vector = answer.vector
        elif any(peer.vector.get(node) != leg for node, leg in answer.vector.items()):
            peer.vector = {**peer.vector, **answer.vector}
        peer.told_ns = now
        return True

    def vector(self) -> bytes:
        """What others are told: the direct legs of this node, packed."""
        if self._vector is None:
            legs = ((peer.number, peer.leg) for peer in self._peers.values())
            self._vector = pack_vector(legs)
        return self._vector

    def look(self, now: int) -> list[Change]:
        """Compare the ways, if it is time; the changes. What has arrived must have been taken before."""
        if now < self._next_look:
            return []
        self._next_look = now + LOOK_NS
        whole = now >= self._next_figures
        if whole:
            self._next_figures = now + FIGURES_NS
        for peer in self._peers.values():
            dead = peer.window.unanswered(now) >= self.settings.dead_after
            if whole or dead != (peer.figures.state is State.DEAD):
                peer.figures = peer.window.figures(now)
                peer.leg = peer.figures.leg()
                self._vector = None
        changes = []
        for peer in self._peers.values():
            if whole or self._used(peer, now).state is State.DEAD:
                used = self._used(peer, now)
                ways = self.ways(peer.number, now, used)
                change = peer.path.look(now, ways, self._chance(peer, used))
                changes += [change] if change is not None else []
        return changes

    def ways(self, destination: int, now: int, besides: Way | None = None) -> dict[int, Way]:
        """Every way to a peer, by next hop; with `besides` only the direct one, the one in use, and
        what may be better than it.
        """
        used = self._peers[destination].path.next_hop
        limit = (
            besides.cost_ms if besides is not None and besides.state is State.ALIVE else math.inf
        )
        return {
            peer.number: self._way(peer, destination, now)
            for peer in self._peers.values()
            # Of the one in use nothing may be known as yet: that is no reason to leave it.
            if peer.number in (destination, used)
            or (destination in peer.vector and (besides is None or self._promises(peer, limit)))
        }

    def _chance(self, peer: _Peer, used: Way) -> float:
        """How much of the loss of the way in use may be chance, as a share: one probe, and a standard
        deviation of as many losses as were counted.
        """
        probes = self._peers.get(peer.path.next_hop, peer).figures.sent
        return (1 + math.sqrt(used.loss * probes)) / probes if probes else 0.0

    @staticmethod
    def _promises(first: _Peer, limit_ms: float) -> bool:
        """Whether a way over this leg may cost less: the leg alone does."""
        return first.leg.state is State.ALIVE and first.leg.rtt_ns < limit_ms * MS

    def _used(self, peer: _Peer, now: int) -> Way:
        """The way in use to a peer."""
        return self._way(self._peers.get(peer.path.next_hop, peer), peer.number, now)

    def _way(self, first: _Peer, destination: int, now: int) -> Way:
        leg = first.leg
        if first.number == destination:
            return direct(leg)
        return through(leg, self._told_leg(first, destination, now))

    def second(self, destination: int, now: int) -> int | None:
        """The next hop of the best way besides the one in use, for what is sent twice."""
        used = self._peers[destination].path.next_hop
        others = {
            hop: way.cost_ms
            for hop, way in self.ways(destination, now).items()
            if hop != used and way.state is State.ALIVE
        }
        return min(others, key=lambda hop: (others[hop], hop)) if others else None

    def figures(self) -> dict[int, Figures]:
        """Of the direct path to each peer, as last reckoned."""
        return {peer.number: peer.figures for peer in self._peers.values()}

    def paths(self) -> dict[int, Path]:
        """The way in use to each peer."""
        return {peer.number: peer.path for peer in self._peers.values()}

    def told_legs(self, now: int) -> dict[int, dict[int, Leg]]:
        """What each peer said of its own legs to others of our peers, unless it is too old."""
        return {
            peer.number: {
                number: self._told_leg(peer, number, now)
                for number in peer.vector
                if number in self._peers and number != peer.number
            }
            for peer in self._peers.values()
        }

    def _told_leg(self, peer: _Peer, destination: int, now: int) -> Leg:
        """What a peer said last, unless that is older than a dead path's last answer."""
        old = 2 * SECOND + 2 * self.settings.dead_after * self.interval_ns
        return peer.vector.get(destination, Leg()) if now - peer.told_ns <= old else Leg()

    def _window(self, interval: int) -> Window:
        settings = self.settings
        return Window(interval, settings.window_s * SECOND, settings.dead_after)
