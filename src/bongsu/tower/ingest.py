"""One thread that keeps what all streams bring: what has come together is one commit.

The price of a commit is the disk's; shared by the deliveries that came while the last one was under
way, it is paid as often as the disk allows and not once a delivery.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bongsu.system.clock import Clock
from bongsu.tower.store.base import Delivery, Store

GROUP_RECORDS = 20_000
"""In one commit, about; it bounds how late the first of them is acked."""
TIDY_S = 60.0


class RefusedError(Exception):
    """A delivery was not taken: its stream cannot go on."""


@dataclass(frozen=True)
class _Waiting:
    delivery: Delivery
    done: "asyncio.Future[None]"
    loop: asyncio.AbstractEventLoop


class Ingest:
    """Keeps deliveries in the order in which they come. `failed` hears of what the store raised."""

    def __init__(self, store: Store, clock: Clock, failed: Callable[[Exception], None]) -> None:
        self._store = store
        self._clock = clock
        self._failed = failed
        # Bounded by the streams' windows, and those by the number of connections.
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    def put(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Done when the delivery is on the disk.

        Else RefusedError if it was not taken, or what the store raised.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Waiting(delivery, done, loop))
        return done

    def close(self) -> None:
        """Keep what has come, and end. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        tidy_at = self._clock.now()
        while True:
            with contextlib.suppress(queue.Empty):
                group = self._group(self._queue.get(timeout=TIDY_S))
                if group is None:
                    return
                self._keep(group)
            if self._clock.now() >= tidy_at:
                tidy_at = self._clock.now() + TIDY_S
                self._tidy()

    def _group(self, first: _Waiting | None) -> list[_Waiting] | None:
        if first is None:
            return None
        group = [first]
        count = len(first.delivery.records)
        with contextlib.suppress(queue.Empty):
            while count < GROUP_RECORDS:
                another = self._queue.get_nowait()
                if another is None:
                    self._queue.put(None)
                    break
                group.append(another)
                count += len(another.delivery.records)
        return group

    def _keep(self, group: list[_Waiting]) -> None:
        try:
            refused = self._store.keep([each.delivery for each in group], self._clock.utc())
        except Exception as error:
            # Nothing of it counts as kept: every node sends it again.
            self._failed(error)
            for each in group:
                _tell(each, error)
            return
        for each, why in zip(group, refused, strict=True):
            _tell(each, RefusedError(why) if why else None)

    def _tidy(self) -> None:
        try:
            self._store.tidy(self._clock.utc())
        except Exception as error:
            self._failed(error)


def _tell(waiting: _Waiting, error: Exception | None) -> None:
    def settle() -> None:
        if waiting.done.done():
            return
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)

    # The loop is closed where the tower has stopped without waiting.
    with contextlib.suppress(RuntimeError):
        waiting.loop.call_soon_threadsafe(settle)
