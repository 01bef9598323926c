"""Echoes through a tunnel, counted: when to send, and what the answers mean. Pure: takes `now`.

One is sent every interval, whether or not those before were answered. An answer counts for the
request that it names, and only once. On a long way answers take longer than an interval: each is
missed at first, and made good when it comes.
"""

from collections import deque
from dataclasses import dataclass

from bongsu.protocol.link.evidence import Probe

WINDOW_NS = 60_000_000_000
"""The loss that is told is that of the last minute."""
LATE_NS = 2_000_000_000
"""Until then a late answer counts: by satellite and back takes 0.6 s, and some queues a second."""
KEPT = 4096
"""Requests that are remembered: a minute of the shortest interval and more."""


@dataclass
class _Outcome:
    """What became of a request."""

    sent: int
    at: int
    """When it was known."""
    ok: bool
    counted: bool = True


class Prober:
    """One tunnel's echoes. Times are monotonic nanoseconds."""

    def __init__(self, now: int, interval_ns: int, misses: int) -> None:
        self.interval_ns = interval_ns
        self.misses = misses
        self.due = now
        """When the next one is to be sent."""
        self.sent = 0
        self.answered = 0
        self.last_ns: int | None = None
        """Round-trip time of the last answer."""
        self._sequence = 0
        self._waiting: dict[int, int] = {}
        self._late: dict[int, _Outcome] = {}
        self._done: deque[_Outcome] = deque(maxlen=KEPT)
        self._unanswered = 0
        self._ever = False

    def begin(self) -> None:
        """The tunnel stands anew: what was before does not count."""
        self._waiting.clear()
        self._late.clear()
        self._done.clear()
        self._unanswered = 0
        self._ever = False

    def forgive(self) -> None:
        """What was lost while the tunnel was down has been told; loss is counted anew."""
        self._done.clear()

    def send(self, now: int) -> int | None:
        """The number to send now, 16 bits; None before it is due."""
        if now < self.due:
            return None
        late = now - self.due
        # After a stall what was missed is left out: a burst says nothing more.
        self.due = (now if late >= self.interval_ns else self.due) + self.interval_ns
        self._expire(now)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._waiting[self._sequence] = now
        self.sent += 1
        return self._sequence

    def answer(self, sequence: int, now: int) -> bool:
        """An echo came back; False if nobody waits for it (any more)."""
        late = self._late.pop(sequence, None)
        sent = self._waiting.pop(sequence, None) if late is None else late.sent
        if sent is None or now - sent > max(LATE_NS, self.interval_ns):
            return False
        self.answered += 1
        self.last_ns = now - sent
        self._ever = True
        # Those sent before it and still out are late or lost; this one proves that it carries.
        self._unanswered = 0
        if late is None or not late.counted:
            self._done.append(_Outcome(sent, now, True))
        else:
            late.ok = True
        return True

    def evidence(self, now: int) -> Probe:
        """What is known now."""
        recent = [each.ok for each in self._done if now - each.at < WINDOW_NS]
        return Probe(self._unanswered, self.misses, self._ever, recent.count(False), len(recent))

    def _expire(self, now: int) -> None:
        """What is out for longer than an interval is missed, unless its answer comes all the same."""
        for sequence in [s for s, each in self._late.items() if now - each.sent > LATE_NS]:
            del self._late[sequence]
        for sequence, sent in list(self._waiting.items()):
            if now - sent < self.interval_ns:
                continue
            del self._waiting[sequence]
            self._unanswered += 1
            # Until the first answer the tunnel may only just have come up: that is no loss.
            outcome = self._late[sequence] = _Outcome(sent, now, False, self._ever)
            if outcome.counted:
                self._done.append(outcome)
