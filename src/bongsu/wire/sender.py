"""The node's end of the stream: when to connect, what may be sent, when to give up. Takes `now`.

What is on the way is bounded; an ack is cumulative; after a loss the Welcome says where to go on. The
records themselves stay in the spool until they are acked, so this machine only knows numbers.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bongsu.wire import bounds
from bongsu.wire.messages import Ack, Welcome, WireError

BACK_OFF_FIRST_S = 0.5
BACK_OFF_MOST_S = 60.0
"""After an outage of hours a node is back within a minute, and a thousand nodes not in one second."""
GREETING_S = 30.0
"""From the beginning of a connection to the tower's Welcome, TLS included."""
ACK_S = 60.0
"""The oldest batch on the way without an ack for so long: the path is dead, or the tower's disk."""


class State(Enum):
    """Where the stream is."""

    WAITING = "waiting"
    GREETING = "greeting"
    STREAMING = "streaming"


@dataclass(frozen=True)
class Room:
    """What may be sent now: records after `after`, up to so many and so large together."""

    after: int
    records: int
    bytes: int


@dataclass(frozen=True)
class _Sent:
    last: int
    records: int
    bytes: int
    at: float


class Sender:
    """One spool's stream. Times are monotonic seconds; `jitter` is a number from 0 to 1."""

    def __init__(self, now: float, jitter: Callable[[], float]) -> None:
        self.state = State.WAITING
        self.acked = 0
        """As the tower last said."""
        self.sent = 0
        """The last number on the way, or acked."""
        self.reconnects = 0
        self._jitter = jitter
        self._due = now
        self._failures = 0
        self._since = now
        self._flight: deque[_Sent] = deque()
        self._records = self._bytes = 0
        self._window = (0, 0)

    def wants_connection(self, now: float) -> bool:
        """Whether it is time to connect; whoever does so says `begin` first."""
        return self.state is State.WAITING and now >= self._due

    def begin(self, now: float) -> None:
        """A connection is being made."""
        self._expect(State.WAITING)
        self.state = State.GREETING
        self._since = now

    def welcome(self, message: Welcome, last: int) -> None:
        """The tower answered a Hello whose `last` this was. WireError if it knows more than there is.

        That is a spool from the past (a restored disk, a copy of a machine): its numbers have been
        used for other records, and it needs a new name.
        """
        self._expect(State.GREETING)
        if message.acked > last:
            raise WireError(
                f"the tower has {message.acked} records of this spool, which has {last}"
            )
        self.state = State.STREAMING
        self.acked = self.sent = message.acked
        self._window = (
            min(message.records, bounds.WINDOW_RECORDS),
            min(message.bytes, bounds.WINDOW_BYTES),
        )

    def room(self) -> Room | None:
        """What may be sent, or None while there is no room. With nothing on the way there always is."""
        if self.state is not State.STREAMING:
            return None
        records, size = self._window[0] - self._records, self._window[1] - self._bytes
        if self._flight and (records < 1 or size < bounds.BATCH_BYTES + bounds.BODY_BYTES):
            return None
        return Room(self.sent, min(records, bounds.BATCH_RECORDS), bounds.BATCH_BYTES)

    def batch(self, last: int, records: int, size: int, now: float) -> None:
        """A batch is on the way: its last number, and how many bytes its bodies have."""
        self._expect(State.STREAMING)
        assert last > self.sent
        self._flight.append(_Sent(last, records, size, now))
        self.sent = last
        self._records += records
        self._bytes += size

    def ack(self, message: Ack) -> bool:
        """The tower keeps everything up to here; whether that is news. WireError for what was not sent."""
        self._expect(State.STREAMING)
        if message.sequence > self.sent:
            raise WireError(f"an ack for {message.sequence}, {self.sent} is the last one sent")
        if message.sequence <= self.acked:
            return False
        self.acked = message.sequence
        while self._flight and self._flight[0].last <= self.acked:
            gone = self._flight.popleft()
            self._records -= gone.records
            self._bytes -= gone.bytes
        # Only now does this tower count as one that works.
        self._failures = 0
        return True

    def overdue(self, now: float) -> str:
        """Why the connection is to be given up, or nothing."""
        if self.state is State.GREETING and now - self._since >= GREETING_S:
            return f"no welcome within {GREETING_S:g} s"
        if self._flight and now - self._flight[0].at >= ACK_S:
            return f"no acknowledgement within {ACK_S:g} s"
        return ""

    def lost(self, now: float, *, soon: bool = False) -> float:
        """The connection is gone: after how many seconds the next one is due.

        `soon`: on purpose, nobody failed. Else the longest wait doubles with every failure, and any
        part of it may be chosen, but for the first tenth.
        """
        longest = min(BACK_OFF_MOST_S, BACK_OFF_FIRST_S * 2.0 ** min(self._failures, 16))
        wait = 0.0 if soon else longest * (0.1 + 0.9 * self._jitter())
        if not soon:
            self._failures += 1
        self.state = State.WAITING
        self.reconnects += 1
        self.sent = self.acked
        self._flight.clear()
        self._records = self._bytes = 0
        self._due = now + wait
        return wait

    def deadline(self) -> float | None:
        """When something is due even if nothing happens."""
        if self.state is State.WAITING:
            return self._due
        if self.state is State.GREETING:
            return self._since + GREETING_S
        return self._flight[0].at + ACK_S if self._flight else None

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise WireError(f"not while {self.state.value}")
