"""Echoes through a tunnel, counted: when to send, and what the answers mean. Pure: takes `now`.

One is sent every interval, whether or not those before were answered. An answer counts for the
request that it names, and only once.
"""

from collections import deque

from bongsu.protocol.link.evidence import Probe

WINDOW_NS = 60_000_000_000
"""The loss that is told is that of the last minute."""
KEPT = 4096
"""Requests that are remembered: a minute of the shortest interval and more."""


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
        self._done: deque[tuple[int, bool]] = deque(maxlen=KEPT)
        self._unanswered = 0
        self._ever = False

    def begin(self) -> None:
        """The tunnel stands anew: what was before does not count."""
        self._waiting.clear()
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
        sent = self._waiting.pop(sequence, None)
        if sent is None:
            return False
        self.answered += 1
        self.last_ns = now - sent
        self._ever = True
        # Those sent before it and still out are late or lost; this one proves that it carries.
        self._unanswered = 0
        self._done.append((now, True))
        return True

    def evidence(self, now: int) -> Probe:
        """What is known now."""
        recent = [ok for at, ok in self._done if now - at < WINDOW_NS]
        return Probe(self._unanswered, self.misses, self._ever, recent.count(False), len(recent))

    def _expire(self, now: int) -> None:
        """What is out for longer than an interval is missed; an answer until then still counts."""
        for sequence, at in list(self._waiting.items()):
            if now - at < self.interval_ns:
                continue
            del self._waiting[sequence]
            self._unanswered += 1
            # Until the first answer the tunnel may only just have come up: that is no loss.
            if self._ever:
                self._done.append((now, False))
