"""State in SQLite: nodes, certificates, tokens, spools, events, snapshots. Open to several processes.

`synchronous=FULL`: what is acked to a node is on the disk, for the node forgets it then.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bongsu.tower.store.base import (
    Delivery,
    EventRow,
    NodeRow,
    SnapshotRow,
    StoreError,
)
from bongsu.wire.messages import Event, Payload, Series, Snapshot

UNREADABLE_KEPT = 100
"""Of each node: enough to find out what they were."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (
    name TEXT PRIMARY KEY, enrolled INTEGER NOT NULL, removed INTEGER,
    seen INTEGER, software TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS certificate (
    serial TEXT PRIMARY KEY, node TEXT NOT NULL, made INTEGER NOT NULL, ends INTEGER NOT NULL,
    revoked INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS certificate_node ON certificate (node);
CREATE TABLE IF NOT EXISTS token (
    number TEXT PRIMARY KEY, node TEXT NOT NULL, digest BLOB NOT NULL, made INTEGER NOT NULL,
    ends INTEGER NOT NULL, used INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spool (
    node TEXT NOT NULL, name BLOB NOT NULL, kept INTEGER NOT NULL, records INTEGER NOT NULL,
    missing INTEGER NOT NULL, unreadable INTEGER NOT NULL, PRIMARY KEY (node, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, time INTEGER NOT NULL,
    received INTEGER NOT NULL, level TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    cause TEXT NOT NULL, own INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_node ON event (node, number);
CREATE INDEX IF NOT EXISTS event_received ON event (received);
CREATE TABLE IF NOT EXISTS snapshot (
    node TEXT NOT NULL, kind TEXT NOT NULL, plan TEXT NOT NULL, time INTEGER NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (node, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unreadable (
    number INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, received INTEGER NOT NULL,
    sequence INTEGER NOT NULL, body BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class Opened:
    """A delivery whose bodies have been read: None where a body is none, or of a kind not known."""

    delivery: Delivery
    payloads: tuple[Payload | None, ...]


class State:
    """The database. Safe for several threads; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=10.0, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: {error}") from error
        self._path = path

    def close(self) -> None:
        """Fold the log back and leave."""
        with self._lock:
            self._database.close()

    def invite(self, node: str, number: str, digest: bytes, ends: datetime, now: datetime) -> None:
        """Keep a token; one that was made for the node before and not used is void."""
        with self._transaction() as run:
            run.execute("DELETE FROM token WHERE node = ? AND used IS NULL", (node,))
            run.execute(
                "INSERT INTO token (number, node, digest, made, ends) VALUES (?, ?, ?, ?, ?)",
                (number, node, digest, _us(now), _us(ends)),
            )

    def invitation(self, number: str) -> bytes | None:
        """A token's digest."""
        with self._transaction() as run:
            row = run.execute("SELECT digest FROM token WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def redeem(self, number: str, now: datetime) -> str | None:
        """Use a token up."""
        with self._transaction() as run:
            row = run.execute(
                "UPDATE token SET used = ? WHERE number = ? AND used IS NULL AND ends > ?"
                " RETURNING node",
                (_us(now), number, _us(now)),
            ).fetchone()
        return None if row is None else str(row[0])

    def admit(self, node: str, serial: str, ends: datetime, now: datetime) -> None:
        """A certificate was made."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO node (name, enrolled) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET removed = NULL",
                (node, _us(now)),
            )
            run.execute(
                "INSERT INTO certificate (serial, node, made, ends) VALUES (?, ?, ?, ?)",
                (serial, node, _us(now), _us(ends)),
            )
            # Ended ones say nothing any more that the clock does not say.
            run.execute("DELETE FROM certificate WHERE ends < ?", (_us(now),))

    def may(self, node: str, serial: str, now: datetime) -> bool:
        """Whether the certificate counts."""
        with self._transaction() as run:
            return self._may(run, node, serial, now)

    def remove(self, node: str, now: datetime) -> bool:
        """Revoke."""
        with self._transaction() as run:
            known = run.execute(
                "UPDATE node SET removed = ? WHERE name = ? AND removed IS NULL", (_us(now), node)
            ).rowcount
            run.execute(
                "UPDATE certificate SET revoked = ? WHERE node = ? AND revoked IS NULL",
                (_us(now), node),
            )
            void = run.execute(
                "DELETE FROM token WHERE node = ? AND used IS NULL", (node,)
            ).rowcount
        return bool(known or void)

    def nodes(self) -> list[NodeRow]:
        """Those that are not removed."""
        with self._transaction() as run:
            rows = run.execute(
                "SELECT name, enrolled, (SELECT max(ends) FROM certificate"
                "  WHERE node = name AND revoked IS NULL), seen, software, plan,"
                " coalesce(sum(records), 0), coalesce(sum(missing), 0), coalesce(sum(unreadable), 0)"
                " FROM node LEFT JOIN (SELECT node AS of, records, missing, unreadable FROM spool)"
                " ON of = name WHERE removed IS NULL GROUP BY name ORDER BY name"
            ).fetchall()
        return [
            NodeRow(row[0], _at(row[1]), _maybe(row[2]), _maybe(row[3]), *row[4:]) for row in rows
        ]

    def seen(self, node: str, software: str, now: datetime) -> None:
        """A Hello."""
        with self._transaction() as run:
            run.execute(
                "UPDATE node SET seen = ?, software = ? WHERE name = ?", (_us(now), software, node)
            )

    def kept(self, node: str, spool: bytes) -> int:
        """The mark of a spool."""
        with self._transaction() as run:
            return self._kept(run, node, spool)

    def refusals(self, deliveries: Sequence[Delivery], now: datetime) -> list[str]:
        """Why each is not to be taken, or an empty text; deliveries of one spool follow each other."""
        marks: dict[tuple[str, bytes], int] = {}
        found = []
        with self._transaction() as run:
            for each in deliveries:
                key = (each.node, each.spool)
                mark = marks[key] if key in marks else self._kept(run, *key)
                why = ""
                if not self._may(run, each.node, each.serial, now):
                    why = "the certificate has ended or been revoked"
                elif mark != each.after:
                    why = f"records after {each.after}, {mark} is the last one kept"
                found.append(why)
                marks[key] = mark if why else each.last
        return found

    def write(self, opened: Sequence[Opened], now: datetime) -> None:
        """Events, snapshots and marks of deliveries that were not refused."""
        with self._transaction() as run:
            for each in opened:
                self._keep(run, each, now)

    def tell(self, event: Event, now: datetime) -> None:
        """The tower's own."""
        with self._transaction() as run:
            run.execute(_INSERT_EVENT, _event("", event, _us(now), now))

    def events(self, node: str | None, after: int, limit: int) -> list[EventRow]:
        """Oldest first."""
        query = (
            "SELECT number, node, time, received, level, kind, subject, cause, own, monotonic_ns,"
            " details FROM event WHERE number > ? AND (? IS NULL OR node = ?) ORDER BY number LIMIT ?"
        )
        with self._transaction() as run:
            rows = run.execute(query, (after, node, node, limit)).fetchall()
        return [
            EventRow(
                row[0], row[1], _at(row[2]), _at(row[3]),
                Event(row[4], row[5], row[6], row[7], row[8], row[9], json.loads(row[10])),
            )
            for row in rows
        ]  # fmt: skip

    def snapshot(self, node: str, kind: str) -> SnapshotRow | None:
        """The last one."""
        with self._transaction() as run:
            row = run.execute(
                "SELECT plan, time, document FROM snapshot WHERE node = ? AND kind = ?",
                (node, kind),
            ).fetchone()
        if row is None:
            return None
        return SnapshotRow(node, kind, row[0], _at(row[1]), json.loads(row[2]))

    def forget(self, events_before: datetime) -> None:
        """Events that are too old."""
        with self._transaction() as run:
            run.execute("DELETE FROM event WHERE received < ?", (_us(events_before),))

    def _keep(self, run: sqlite3.Connection, opened: Opened, now: datetime) -> None:
        delivery = opened.delivery
        unreadable = 0
        for record, payload in zip(delivery.records, opened.payloads, strict=True):
            what = None if payload is None else payload.what
            if payload is None or what is None:
                unreadable += 1
                self._set_aside(run, delivery.node, record.sequence, record.body, now)
            elif isinstance(what, Event):
                run.execute(
                    _INSERT_EVENT, _event(delivery.node, what, payload.time_ns // 1000, now)
                )
            elif isinstance(what, Snapshot):
                run.execute(
                    "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?) ON CONFLICT (node, kind) DO UPDATE"
                    " SET plan = excluded.plan, time = excluded.time, document = excluded.document",
                    (delivery.node, what.kind, what.plan, payload.time_ns // 1000,
                     json.dumps(what.document)),
                )  # fmt: skip
                run.execute("UPDATE node SET plan = ? WHERE name = ?", (what.plan, delivery.node))
            else:
                assert isinstance(what, Series)
        run.execute(
            "INSERT INTO spool VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node, name) DO UPDATE SET"
            " kept = excluded.kept, records = records + excluded.records,"
            " missing = missing + excluded.missing, unreadable = unreadable + excluded.unreadable",
            (delivery.node, delivery.spool, delivery.last, len(delivery.records), delivery.missing,
             unreadable),
        )  # fmt: skip
        run.execute("UPDATE node SET seen = ? WHERE name = ?", (_us(now), delivery.node))

    def _set_aside(
        self, run: sqlite3.Connection, node: str, sequence: int, body: bytes, now: datetime
    ) -> None:
        run.execute(
            "INSERT INTO unreadable (node, received, sequence, body) VALUES (?, ?, ?, ?)",
            (node, _us(now), sequence, body),
        )
        run.execute(
            "DELETE FROM unreadable WHERE node = ? AND number <= (SELECT number FROM unreadable"
            " WHERE node = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (node, node, UNREADABLE_KEPT),
        )

    def _may(self, run: sqlite3.Connection, node: str, serial: str, now: datetime) -> bool:
        row = run.execute(
            "SELECT 1 FROM certificate WHERE serial = ? AND node = ? AND revoked IS NULL"
            " AND ends > ?",
            (serial, node, _us(now)),
        ).fetchone()
        return row is not None

    def _kept(self, run: sqlite3.Connection, node: str, spool: bytes) -> int:
        row = run.execute(
            "SELECT kept FROM spool WHERE node = ? AND name = ?", (node, spool)
        ).fetchone()
        return 0 if row is None else int(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


_INSERT_EVENT = (
    "INSERT INTO event (node, time, received, level, kind, subject, cause, own, monotonic_ns,"
    " details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _event(node: str, event: Event, time_us: int, now: datetime) -> tuple[object, ...]:
    return (
        node, time_us, _us(now), event.level, event.kind, event.subject, event.cause, event.number,
        event.monotonic_ns, json.dumps(event.details),
    )  # fmt: skip


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _at(us: int) -> datetime:
    # A node's clock may say anything; the calendar ends before a 64-bit number does.
    seconds = min(max(us / 1_000_000, 0.0), 253_402_300_000.0)
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(us: int | None) -> datetime | None:
    return None if us is None else _at(us)
