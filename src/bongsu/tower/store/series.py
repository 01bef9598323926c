"""Series in DuckDB, which one process owns. Rows as they came, and two rollups that are kept longer.

A delivery's rows and the mark of its spool are one transaction, so a delivery that comes again after
a crash is not written twice. Rollups are only ever added to: what arrives late makes another part of
its step, and a query puts the parts together.
"""

import math
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from bongsu.tower.store.base import Delivery, Point, StoreError
from bongsu.wire.messages import Payload, Series

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the table has no zones: it is all UTC)
_LAST_US = 253_402_300_000 * 1_000_000
TIERS = (("raw", None), ("ten_seconds", 10), ("five_minutes", 300))
ROLL_ROWS = 2_000_000
"""Rolled up at once, so that the tower's memory does not depend on how late it is."""

_PARTS = (
    "moment TIMESTAMP NOT NULL, node VARCHAR NOT NULL, kind VARCHAR NOT NULL, subject VARCHAR NOT NULL,"
    " metric VARCHAR NOT NULL, low DOUBLE NOT NULL, high DOUBLE NOT NULL, total DOUBLE NOT NULL,"
    " number BIGINT NOT NULL, last DOUBLE NOT NULL, last_at TIMESTAMP NOT NULL, write BIGINT NOT NULL"
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS raw (
    moment TIMESTAMP NOT NULL, node VARCHAR NOT NULL, kind VARCHAR NOT NULL, subject VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE NOT NULL, write BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS ten_seconds ({_PARTS});
CREATE TABLE IF NOT EXISTS five_minutes ({_PARTS});
CREATE TABLE IF NOT EXISTS mark (
    node VARCHAR NOT NULL, spool BLOB NOT NULL, kept BIGINT NOT NULL, PRIMARY KEY (node, spool)
);
CREATE TABLE IF NOT EXISTS progress (name VARCHAR PRIMARY KEY, write BIGINT NOT NULL);
"""

Row = tuple[datetime, str, str, str, str, float, int]


class SeriesStore:
    """The database; one thread at a time writes, others read by cursors of their own."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = duckdb.connect(str(path))
            self._database.execute("SET wal_autocheckpoint = '256MB'")
            self._database.execute("SET TimeZone = 'UTC'")
            self._database.execute(_SCHEMA)
            path.chmod(0o600)
            # Queries have a connection each, made from this one, which never runs any itself.
            self._reading = self._database.cursor()
            self._write = int(
                self._value("SELECT greatest((SELECT coalesce(max(write), 0) FROM raw),"
                            " (SELECT coalesce(max(write), 0) FROM progress))")
            )  # fmt: skip
            self._marks = {
                (node, bytes(spool)): int(kept)
                for node, spool, kept in self._database.execute("FROM mark").fetchall()
            }
        except duckdb.Error as error:
            raise StoreError(f"{path}: {error}") from error
        self._path = path

    def close(self) -> None:
        """Fold the log back and leave."""
        self._reading.close()
        self._database.close()

    def keep(self, deliveries: Sequence[tuple[Delivery, Sequence[Payload | None]]]) -> None:
        """Write the rows of each delivery's series, but for those that are here already."""
        write = self._write + 1
        rows: list[Row] = []
        marks: dict[tuple[str, bytes], int] = {}
        for delivery, payloads in deliveries:
            key = (delivery.node, delivery.spool)
            mark = self._marks.get(key, 0)
            found = False
            for record, payload in zip(delivery.records, payloads, strict=True):
                if payload is not None and isinstance(payload.what, Series):
                    found = True
                    if record.sequence > mark:
                        rows += _rows(delivery.node, payload.time_ns, payload.what, write)
            if found and delivery.last > mark:
                marks[key] = delivery.last
        if not marks:
            return
        run = self._database
        try:
            run.execute("BEGIN")
            if rows:
                appender = run.appender("raw")
                appender.append_rows(rows)
                appender.flush()
            for (node, spool), kept in marks.items():
                run.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", [node, spool, kept])
            run.execute("COMMIT")
        except duckdb.Error as error:
            self._undo()
            raise StoreError(f"{self._path}: {error}") from error
        self._write = write
        self._marks |= marks

    def roll(self) -> None:
        """Bring both rollups up to what has been written."""
        try:
            while self._roll("ten_seconds", 10, "raw", _OF_RAW):
                pass
            while self._roll("five_minutes", 300, "ten_seconds", _OF_PARTS):
                pass
        except duckdb.Error as error:
            self._undo()
            raise StoreError(f"{self._path}: {error}") from error

    def forget(self, before: dict[str, datetime]) -> None:
        """Rows of each table from before a time of its own; raw ones only once they are rolled up."""
        try:
            for table, _ in TIERS:
                # Names of ours; the times are parameters.
                self._database.execute(
                    f"DELETE FROM {table} WHERE moment < ?",  # noqa: S608
                    [_naive(before[table])],
                )
        except duckdb.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def points(
        self,
        node: str,
        kind: str,
        subject: str,
        metric: str,
        begin: datetime,
        end: datetime,
        step_s: float,
        table: str,
    ) -> list[Point]:
        """Of one table of TIERS, and of what has not been rolled up into it yet."""
        where = (
            " WHERE node = $node AND kind = $kind AND subject = $subject AND metric = $metric"
            " AND moment >= $begin AND moment < $end"
        )
        names = [name for name, _ in TIERS]
        sources = [_SAME[table == "raw"].format(table) + where]
        # What is not rolled up yet is in the finer tables only, and each row of it in one.
        for finer, coarse in reversed(list(pairwise(names[: names.index(table) + 1]))):
            behind = f" AND write > (SELECT coalesce(max(write), 0) FROM progress WHERE name = '{coarse}')"  # noqa: S608
            sources.append(_SAME[finer == "raw"].format(finer) + where + behind)
        query = (
            f"SELECT time_bucket(to_microseconds($step), moment) AS step, {_OF_PARTS} FROM"  # noqa: S608
            f" ({' UNION ALL '.join(sources)}) GROUP BY step ORDER BY step"
        )
        parameters = {
            "step": max(1, round(step_s * 1_000_000)), "node": node, "kind": kind,
            "subject": subject, "metric": metric, "begin": _naive(begin), "end": _naive(end),
        }  # fmt: skip
        try:
            with self._lock:
                cursor = self._reading.cursor()
            rows = cursor.execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return [
            Point(at.replace(tzinfo=UTC), low, high, total / number, last, number)
            for at, low, high, total, number, last, _ in rows
        ]

    def _roll(self, target: str, step_s: int, source: str, columns: str) -> bool:
        """One part of what is new; whether there may be more."""
        row = self._database.execute(
            "SELECT write FROM progress WHERE name = ?", [target]
        ).fetchone()
        done = int(row[0]) if row else 0
        # Whole writes only, as many as make ROLL_ROWS, and at least one.
        upto = self._value(
            "SELECT max(write) FROM (SELECT write, sum(count(*)) OVER (ORDER BY write) AS so_far,"  # noqa: S608
            f" row_number() OVER (ORDER BY write) AS nth FROM {source} WHERE write > ?"
            " GROUP BY write) WHERE so_far <= ? OR nth = 1",
            [done, ROLL_ROWS],
        )
        if upto is None:
            return False
        self._database.execute("BEGIN")
        self._database.execute(
            f"INSERT INTO {target} SELECT time_bucket(to_seconds({step_s}), moment) AS step, node, kind,"  # noqa: S608
            f" subject, metric, {columns}, ? FROM {source} WHERE write > ? AND write <= ?"
            " GROUP BY step, node, kind, subject, metric",
            [upto, done, upto],
        )
        self._database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", [target, upto])
        self._database.execute("COMMIT")
        return True

    def _undo(self) -> None:
        try:
            self._database.execute("ROLLBACK")
        except duckdb.Error:
            # There was nothing to undo: it failed at BEGIN, or COMMIT has undone it.
            return

    def _value(self, query: str, parameters: Sequence[object] = ()) -> Any:
        row = self._database.execute(query, list(parameters)).fetchone()
        return None if row is None else row[0]


_OF_RAW = "min(value), max(value), sum(value), count(*), arg_max(value, moment), max(moment)"
_OF_PARTS = "min(low), max(high), sum(total), sum(number), arg_max(last, last_at), max(last_at)"

_SAME = {
    True: "SELECT moment, value AS low, value AS high, value AS total, 1 AS number, value AS last,"
    " moment AS last_at FROM {}",
    False: "SELECT moment, low, high, total, number, last, last_at FROM {}",
}
"""A table's rows as parts; whether it is the raw one."""


def finest(age: timedelta, step_s: float, kept: dict[str, timedelta]) -> str:
    """The table to ask: of those that reach back so far the coarsest whose steps are fine enough.

    Where none is, the finest of them; where none reaches back, the one that reaches furthest.
    """
    reaching = [(table, step) for table, step in TIERS if age <= kept[table]]
    fine = [table for table, step in reaching if step is None or step <= step_s]
    if fine:
        return fine[-1]
    return reaching[0][0] if reaching else max(kept, key=lambda table: kept[table])


def _rows(node: str, time_ns: int, series: Series, write: int) -> list[Row]:
    at = _EPOCH + timedelta(microseconds=min(max(time_ns // 1000, 0), _LAST_US))
    kind = series.kind
    return [
        (at, node, kind, row.subject, metric, value, write)
        for row in series.rows
        for metric, value in zip(series.metrics, row.values, strict=True)
        if math.isfinite(value)
    ]


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)
