"""What the agent has to tell, on its way to the spool. From any thread; never blocks, never grows.

Between here and the spool there is one queue in memory. It holds what comes while the disk is busy, and
if that is too much the oldest series go, then the oldest of all, counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from bongsu.agent.events import Event as Logged
from bongsu.agent.uplink.spool import Kind
from bongsu.wire.bounds import BODY_BYTES
from bongsu.wire.codec import encode_payload
from bongsu.wire.messages import Event, Payload, Row, Series, Snapshot

QUEUE_RECORDS = 10_000
QUEUE_BYTES = 32 * 1024 * 1024
SERIES_ROWS = 1000
"""In one record; more subjects make more records."""


class Recorder:
    """`wake` is called after each record."""

    def __init__(self, time_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns
        self._lock = threading.Lock()
        self._queue: deque[tuple[Kind, bytes]] = deque()
        self._bytes = 0
        self.dropped = 0
        """Never reached the disk."""
        self.too_large = 0
        """Larger than a record may be."""
        self.wake: Callable[[], None] = lambda: None

    def event(self, logged: Logged, time_ns: int | None = None) -> None:
        """Something happened."""
        event = Event(
            logged.level, logged.kind, logged.subject, logged.cause, logged.sequence,
            logged.monotonic_ns, logged.details,
        )  # fmt: skip
        self._put(Kind.EVENT, event, time_ns)

    def snapshot(self, kind: str, plan: str, document: Any) -> None:
        """A state as a whole."""
        self._put(Kind.SNAPSHOT, Snapshot(kind, plan, document))

    def series(self, kind: str, metrics: tuple[str, ...], rows: list[Row]) -> None:
        """Figures of one moment."""
        now = self._time_ns()
        for first in range(0, len(rows), SERIES_ROWS):
            part = tuple(rows[first : first + SERIES_ROWS])
            self._put(Kind.SERIES, Series(kind, metrics, part), now)

    def take(self, records: int) -> list[tuple[Kind, bytes]]:
        """The oldest ones, off the queue."""
        with self._lock:
            taken = [self._queue.popleft() for _ in range(min(records, len(self._queue)))]
            self._bytes -= sum(len(body) for _, body in taken)
        return taken

    def put_back(self, records: list[tuple[Kind, bytes]]) -> None:
        """What the disk did not take."""
        with self._lock:
            self._queue.extendleft(reversed(records))
            self._bytes += sum(len(body) for _, body in records)
            self._bound()

    def _put(self, kind: Kind, what: Event | Snapshot | Series, time_ns: int | None = None) -> None:
        payload = Payload(self._time_ns() if time_ns is None else time_ns, what)
        body: bytes | None
        try:
            body = encode_payload(payload)
        except ValueError:
            body = self._less(payload)
        if body is not None:
            with self._lock:
                self._queue.append((kind, body))
                self._bytes += len(body)
                self._bound()
        self.wake()

    def _less(self, payload: Payload) -> bytes | None:
        """An event without its details is better than none."""
        self.too_large += 1
        what = payload.what
        if not isinstance(what, Event):
            return None
        details = {"left_out": f"details of more than {BODY_BYTES} bytes"}
        less = Event(
            what.level, what.kind, what.subject, what.cause, what.number, what.monotonic_ns, details
        )
        return encode_payload(Payload(payload.time_ns, less))

    def _bound(self) -> None:
        while len(self._queue) > QUEUE_RECORDS or self._bytes > QUEUE_BYTES:
            # The oldest of the kind that goes first; in a queue this long that is a rare search.
            lowest = min(kind for kind, _ in self._queue)
            at = next(i for i, (kind, _) in enumerate(self._queue) if kind is lowest)
            self._bytes -= len(self._queue[at][1])
            del self._queue[at]
            self.dropped += 1
