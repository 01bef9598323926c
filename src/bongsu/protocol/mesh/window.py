"""One direct path's probes of the last while: which were answered, how fast, and whether it lives.

Kept in a ring of numpy arrays. An answer counts once, for a probe of this window that waits for one.
"""

from dataclasses import dataclass

import numpy as np

from bongsu.protocol.mesh.packet import Leg, State

LATE_NS = 2_000_000_000
"""An answer after this much is a lost one: by satellite and back takes 0.6 s."""
FIRST_PATIENCE_NS = 1_000_000_000
"""How long the first probes wait before they count as missed: nothing is known of the path yet."""
ROOM = 1 << 16
"""Probes kept at most, 1 MiB; a window that would hold more is that much shorter."""
SEQUENCES = 1 << 32


@dataclass(frozen=True)
class Figures:
    """What the window says. RTTs in ns; None without an answer."""

    state: State = State.UNKNOWN
    sent: int = 0
    """Probes whose fate is known."""
    lost: int = 0
    p50_ns: int | None = None
    p99_ns: int | None = None
    avg_ns: int | None = None
    jitter_ns: int | None = None
    unanswered: int = 0
    """One after the other, up to now; counted no further than makes it dead."""

    @property
    def loss(self) -> float:
        """Share of the probes that were lost, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0

    def leg(self) -> Leg:
        """What others are told of it."""
        return Leg(self.state, self.loss, self.p50_ns or 0, self.jitter_ns or 0)


class Window:
    """Times are monotonic nanoseconds."""

    def __init__(self, interval_ns: int, window_ns: int, dead_after: int) -> None:
        self._window_ns = window_ns
        self._dead_after = dead_after
        self._interval_ns = interval_ns
        # What is still awaited stands in the ring besides, and what a dying path misses.
        room = (window_ns + LATE_NS) // interval_ns + dead_after + 2
        self._room = int(min(room, ROOM))
        self._sent_ns = np.full(self._room, -1, np.int64)
        self._rtt_ns = np.full(self._room, -1, np.int64)
        self._count = 0
        self._answered = -1
        """The newest probe, by count, that was answered."""
        self._first: int | None = None
        """The first one that was: those before found nobody there yet, which is no loss."""
        self._patience_ns = max(interval_ns, FIRST_PATIENCE_NS)

    def send(self, now: int) -> int:
        """The sequence of a probe that leaves now."""
        slot = self._count % self._room
        self._sent_ns[slot], self._rtt_ns[slot] = now, -1
        self._count += 1
        return (self._count - 1) % SEQUENCES

    def answer(self, sequence: int, now: int, held_ns: int) -> bool:
        """An answer that came at `now`; False if no probe waits for it."""
        place = self._place(sequence)
        if place is None:
            return False
        slot = place % self._room
        took = now - int(self._sent_ns[slot])
        if self._rtt_ns[slot] >= 0 or took < 0 or took - min(held_ns, took) > LATE_NS:
            return False
        self._rtt_ns[slot] = took - min(held_ns, took)
        self._answered = max(self._answered, place)
        self._first = place if self._first is None else min(place, self._first)
        return True

    def figures(self, now: int) -> Figures:
        """What is known now."""
        # From the oldest to the newest: jitter is of neighbours.
        oldest = max(self._first or 0, self._count - self._room, 0)
        order = np.arange(oldest, self._count) % self._room
        sent, rtt = self._sent_ns[order], self._rtt_ns[order]
        recent = sent > now - self._window_ns
        found = rtt[recent & (rtt >= 0)]
        waiting = recent & (rtt < 0) & (now - sent <= self._patience_ns)
        known = int(np.count_nonzero(recent)) - int(np.count_nonzero(waiting))
        if not len(found):
            unanswered = self.unanswered(now)
            state = State.DEAD if unanswered >= self._dead_after else State.UNKNOWN
            return Figures(state, known, known, unanswered=unanswered)
        ordered = np.sort(found)
        p99 = int(ordered[-1 - len(found) // 100])
        # Twice the slowest: slower than ever, yet not lost.
        self._patience_ns = min(max(self._interval_ns, 2 * p99), LATE_NS)
        unanswered = self.unanswered(now)
        return Figures(
            State.DEAD if unanswered >= self._dead_after else State.ALIVE,
            known,
            known - len(found),
            int(ordered[len(found) // 2]),
            p99,
            int(found.mean()),
            int(np.abs(np.diff(found)).mean()) if len(found) > 1 else 0,
            unanswered,
        )

    def unanswered(self, now: int) -> int:
        """Missed probes since the newest that was answered, up to `dead_after`. Costs next to nothing."""
        oldest = max(self._answered + 1, self._count - self._room)
        for number in range(self._dead_after):
            place = oldest + number
            if place >= self._count:
                return number
            if now - int(self._sent_ns[place % self._room]) <= self._patience_ns:
                return number
        return self._dead_after

    def _place(self, sequence: int) -> int | None:
        """Which probe a sequence names, by count; None if it is not kept any more, or never was."""
        back = (self._count - 1 - sequence) % SEQUENCES
        place = self._count - 1 - back
        return place if place >= max(0, self._count - self._room) else None
