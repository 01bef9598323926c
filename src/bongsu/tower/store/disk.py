"""The store of one tower: state in SQLite, series in DuckDB, and how the two agree.

Series are written first, with a mark of their own, then the state with the mark that is acked. Between
the two a crash leaves series that the state does not know of; the node sends them again, and the
series' own mark leaves them out. The command line opens the state alone: series belong to the tower.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bongsu.tower.files import Layout, Settings
from bongsu.tower.store.base import Delivery, Point
from bongsu.tower.store.series import SeriesStore, finest
from bongsu.tower.store.state import Opened, State
from bongsu.wire.codec import decode_payload
from bongsu.wire.messages import Payload, Record, WireError

FORGET_EVERY = timedelta(hours=1)


class DiskStore(State):
    """A `Store`: the state, and the series beside it."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__(layout.state)
        self._series = SeriesStore(layout.series)
        self._retention = {
            "raw": timedelta(hours=settings.raw_hours),
            "ten_seconds": timedelta(days=settings.ten_seconds_days),
            "five_minutes": timedelta(days=settings.five_minutes_days),
        }
        self._events = timedelta(days=settings.events_days)
        self._forgotten: datetime | None = None

    def keep(self, deliveries: Sequence[Delivery], now: datetime) -> list[str]:
        """See `Store.keep`; one thread at a time."""
        refused = self.refusals(deliveries, now)
        taken = [
            Opened(each, tuple(_opened(record) for record in each.records))
            for each, why in zip(deliveries, refused, strict=True)
            if not why
        ]
        if taken:
            self._series.keep([(each.delivery, each.payloads) for each in taken])
            self.write(taken, now)
        return refused

    def points(
        self,
        node: str,
        kind: str,
        subject: str,
        metric: str,
        begin: datetime,
        end: datetime,
        step_s: float,
        now: datetime,
    ) -> list[Point]:
        """A series in steps."""
        table = finest(now - begin, step_s, self._retention)
        return self._series.points(node, kind, subject, metric, begin, end, step_s, table)

    def tidy(self, now: datetime) -> None:
        """Roll up; once in FORGET_EVERY forget. By the thread that keeps."""
        self._series.roll()
        if self._forgotten is not None and now - self._forgotten < FORGET_EVERY:
            return
        self._forgotten = now
        self._series.forget({table: now - kept for table, kept in self._retention.items()})
        self.forget(now - self._events)

    def close(self) -> None:
        """Leave everything on disk."""
        self._series.close()
        super().close()


def _opened(record: Record) -> Payload | None:
    try:
        return decode_payload(record.body)
    except WireError:
        return None
