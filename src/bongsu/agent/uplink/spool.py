"""What is to be told to the tower, on disk until the tower has it. Survives kill -9 and loss of power.

SQLite with a write-ahead log and `synchronous=FULL`: a number that has been sent is on the disk, so
none is ever given to two records, not even after a loss of power. AUTOINCREMENT for the same reason:
numbers go on from where they were when the spool has run empty.

Bounded on disk. When it is full the oldest series go first, then the oldest snapshots, and events
last; each that goes is counted. What is on the way to the tower stays, or nobody could say afterwards
whether it arrived.
"""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from bongsu.wire.bounds import SPOOL_ID_BYTES
from bongsu.wire.messages import Record

NAME = "spool.db"
BOUND_BYTES = 256 * 1024 * 1024
"""On disk, the log beside it included: days of events, hours of a hundred tunnels' figures."""
SMALLEST_BYTES = 16 * 1024 * 1024
"""Twice what may be on the way: below that the spool could be full of what must stay."""
LOG_BYTES = 4 * 1024 * 1024
"""The write-ahead log is folded back at half of this, and cut to this."""
DROP_RECORDS = 64
"""At once: one by one, each would be a search."""
FORGET_RECORDS = 1024
PAGE = 4096

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_kind ON record (kind, sequence);
CREATE TABLE IF NOT EXISTS meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    name BLOB NOT NULL,
    dropped_series INTEGER NOT NULL DEFAULT 0,
    dropped_snapshots INTEGER NOT NULL DEFAULT 0,
    dropped_events INTEGER NOT NULL DEFAULT 0
);
"""
_TABLES = ("series", "snapshots", "events")


class Kind(IntEnum):
    """Of a record; the lower goes first when the disk is full."""

    SERIES = 0
    SNAPSHOT = 1
    EVENT = 2


@dataclass
class Dropped:
    """How many records went because the spool was full, since it was made."""

    series: int = 0
    snapshots: int = 0
    events: int = 0

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.series + self.snapshots + self.events


@dataclass(frozen=True)
class Page:
    """Records that follow each other, and how large their bodies are together."""

    records: tuple[Record, ...]
    bytes: int = field(default=0)


class SpoolError(Exception):
    """The disk, or what is on it: the spool cannot be used."""


class Spool:
    """One spool, of one thread at a time. Raises SpoolError for whatever the disk does."""

    def __init__(self, path: Path, bound_bytes: int = BOUND_BYTES) -> None:
        self.path = path
        self._bound = max(bound_bytes, SMALLEST_BYTES)
        self.renamed = ""
        """Where a spool went that could not be read, if there was one."""
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise SpoolError(f"{path}: {error}") from error
            # Not a database any more. Its records are lost to us, not to whoever can mend it.
            self._move_aside()
            try:
                self._open()
            except sqlite3.Error as again:
                raise SpoolError(f"{path}: {again}") from again
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror}") from error

    def append(self, records: Sequence[tuple[Kind, bytes]], keep_to: int = 0) -> int:
        """Keep records, in order, all or none; the last one's number. On disk when it returns.

        Up to `keep_to` nothing is dropped to make room.
        """
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._make_room(sum(len(body) + 64 for _, body in records), keep_to)
                self._database.executemany("INSERT INTO record (kind, body) VALUES (?, ?)", records)
            return self.last()
        except sqlite3.Error as error:
            raise SpoolError(f"{self.path}: {error}") from error

    def read(self, after: int, records: int, size: int) -> Page:
        """The records that follow `after`: so many at most, ending with the one that goes beyond `size`."""
        found = []
        total = 0
        try:
            rows = self._database.execute(
                "SELECT sequence, body FROM record WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, records),
            )
            for sequence, body in rows:
                found.append(Record(sequence, body))
                total += len(body)
                if total >= size:
                    break
            rows.close()
        except sqlite3.Error as error:
            raise SpoolError(f"{self.path}: {error}") from error
        return Page(tuple(found), total)

    def acked(self, sequence: int) -> None:
        """The tower keeps everything up to here: forget it. Free pages go back to the disk by and by."""
        try:
            # In steps, so that the log beside the file stays small.
            while self._database.execute(
                "DELETE FROM record WHERE sequence IN"
                " (SELECT sequence FROM record WHERE sequence <= ? ORDER BY sequence LIMIT ?)",
                (sequence, FORGET_RECORDS),
            ).rowcount:
                pass
            # A script, for it is one step a page, of which `execute` takes the first.
            self._database.executescript("PRAGMA incremental_vacuum(256)")
        except sqlite3.Error as error:
            raise SpoolError(f"{self.path}: {error}") from error

    def last(self) -> int:
        """The newest number that was ever given; 0 before the first."""
        row = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'record'")
        return int(row[0]) if row else 0

    def waiting(self) -> int:
        """How many records are kept."""
        row = self._one("SELECT count(*) FROM record")
        return int(row[0]) if row else 0

    def name(self) -> bytes:
        """Whose numbers these are."""
        row = self._one("SELECT name FROM meta")
        assert row is not None
        return bytes(row[0])

    def rename(self) -> None:
        """Give the spool another name: its numbers have been used before, for other records."""
        try:
            self._database.execute("UPDATE meta SET name = ?", (os.urandom(SPOOL_ID_BYTES),))
        except sqlite3.Error as error:
            raise SpoolError(f"{self.path}: {error}") from error

    def dropped(self) -> Dropped:
        """What went because the spool was full."""
        row = self._one("SELECT dropped_series, dropped_snapshots, dropped_events FROM meta")
        return Dropped(*row) if row else Dropped()

    def bytes_on_disk(self) -> int:
        """The file and the log beside it."""
        beside = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(each.stat().st_size for each in beside if each.exists())

    def close(self) -> None:
        """Fold the log back and leave."""
        self._database.close()

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files beside it the mode of this one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._database = sqlite3.connect(
            self.path, isolation_level=None, timeout=5.0, check_same_thread=False
        )
        run = self._database.execute
        try:
            run(f"PRAGMA page_size={PAGE}")
            run("PRAGMA auto_vacuum=INCREMENTAL")
            run("PRAGMA journal_mode=WAL")
            run("PRAGMA synchronous=FULL")
            run(f"PRAGMA journal_size_limit={LOG_BYTES}")
            run(f"PRAGMA wal_autocheckpoint={LOG_BYTES // 2 // PAGE}")
            self._database.executescript(_SCHEMA)
            if (found := run("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise sqlite3.DatabaseError(f"{found[0]}")
            run(
                "INSERT INTO meta (only, name) VALUES (1, ?) ON CONFLICT DO NOTHING",
                (os.urandom(SPOOL_ID_BYTES),),
            )
        except BaseException:
            self._database.close()
            raise

    def _move_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.unreadable-{number}")).exists():
            number += 1
        self.path.rename(aside)
        for end in ("-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        self.renamed = aside.name

    def _make_room(self, needed: int, keep_to: int) -> None:
        """Drop until there is room, or nothing is left that may go."""
        limit = self._bound - LOG_BYTES - needed
        while self._used() > limit:
            for kind in Kind:
                if gone := self._drop(kind, keep_to):
                    column = f"dropped_{_TABLES[kind]}"
                    # The column's name is one of three words of ours.
                    self._database.execute(
                        f"UPDATE meta SET {column} = {column} + ?",  # noqa: S608
                        (gone,),
                    )
                    break
            else:
                return

    def _drop(self, kind: Kind, keep_to: int) -> int:
        done = self._database.execute(
            "DELETE FROM record WHERE sequence IN (SELECT sequence FROM record"
            " WHERE kind = ? AND sequence > ? ORDER BY sequence LIMIT ?)",
            (kind, keep_to, DROP_RECORDS),
        )
        return done.rowcount

    def _used(self) -> int:
        pages, free = (
            self._database.execute(f"PRAGMA {each}").fetchone()[0]
            for each in ("page_count", "freelist_count")
        )
        return int(pages - free) * PAGE

    def _one(self, query: str) -> tuple[int, ...] | None:
        try:
            row: tuple[int, ...] | None = self._database.execute(query).fetchone()
        except sqlite3.Error as error:
            raise SpoolError(f"{self.path}: {error}") from error
        return row
