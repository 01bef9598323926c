"""The spool keeps numbers apart for ever, drops in its order when it is full, and survives its disk."""

import os
import sqlite3
from pathlib import Path

import pytest

from bongsu.agent.uplink.spool import LOG_BYTES, SMALLEST_BYTES, Dropped, Kind, Spool, SpoolError

SERIES, SNAPSHOT, EVENT = Kind.SERIES, Kind.SNAPSHOT, Kind.EVENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uplink" / "spool.db"


def sequences(spool: Spool, after: int = 0) -> list[int]:
    return [each.sequence for each in spool.read(after, 10**6, 10**12).records]


def test_order_and_acks(path: Path) -> None:
    spool = Spool(path)
    assert (spool.last(), spool.waiting()) == (0, 0)
    assert spool.append([(EVENT, b"a"), (SERIES, b"b")]) == 2
    assert spool.append([(SNAPSHOT, b"c")]) == 3
    assert [each.body for each in spool.read(0, 10, 10**6).records] == [b"a", b"b", b"c"]
    assert sequences(spool, 1) == [2, 3]
    spool.acked(2)
    assert sequences(spool) == [3]


def test_pages_end_by_number_and_by_size(path: Path) -> None:
    spool = Spool(path)
    spool.append([(EVENT, bytes(100)) for _ in range(10)])
    assert len(spool.read(0, 3, 10**6).records) == 3
    page = spool.read(0, 10, 250)
    assert (len(page.records), page.bytes) == (3, 300)
    # A record larger than the page is a page.
    assert len(spool.read(0, 10, 1).records) == 1


def test_numbers_never_come_back(path: Path) -> None:
    spool = Spool(path)
    spool.append([(EVENT, b"a")] * 5)
    spool.acked(5)
    assert spool.waiting() == 0
    spool.close()
    spool = Spool(path)
    assert spool.last() == 5
    assert spool.append([(EVENT, b"b")]) == 6


def test_the_name_stays_until_it_is_changed(path: Path) -> None:
    spool = Spool(path)
    name = spool.name()
    spool.close()
    spool = Spool(path)
    assert spool.name() == name
    spool.rename()
    assert spool.name() != name
    assert len(spool.name()) == 16


def test_a_commit_is_on_the_disk_before_its_number_is_told(path: Path) -> None:
    # FULL: else a loss of power gives numbers back that the tower has seen already.
    Spool(path)
    found = Spool(path)._database.execute("PRAGMA synchronous").fetchone()[0]
    assert found == 2


def test_for_root_only(path: Path) -> None:
    spool = Spool(path)
    spool.append([(EVENT, b"a")])
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for each in path.parent.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each.name


def fill(spool: Spool, kind: Kind, count: int, keep_to: int = 0, size: int = 4000) -> None:
    for _ in range(0, count, 100):
        spool.append([(kind, os.urandom(size)) for _ in range(100)], keep_to)


def test_full_series_go_first_and_the_oldest_of_them(path: Path) -> None:
    spool = Spool(path, SMALLEST_BYTES)
    fill(spool, EVENT, 500)
    fill(spool, SNAPSHOT, 500)
    fill(spool, SERIES, 5000)
    dropped = spool.dropped()
    assert dropped.series > 2000
    assert (dropped.snapshots, dropped.events) == (0, 0)
    left = sequences(spool)
    assert left[:1000] == list(range(1, 1001))
    assert left[1000:] == list(range(6000 - len(left[1000:]) + 1, 6001))
    assert len(left) + dropped.total == 6000
    assert spool.bytes_on_disk() <= SMALLEST_BYTES


def test_full_events_go_last(path: Path) -> None:
    spool = Spool(path, SMALLEST_BYTES)
    fill(spool, SERIES, 500)
    fill(spool, SNAPSHOT, 500)
    fill(spool, EVENT, 2700)
    first = spool.dropped()
    assert (first.series, first.events) == (500, 0)
    assert 0 < first.snapshots < 500
    fill(spool, EVENT, 3000)
    second = spool.dropped()
    assert (second.series, second.snapshots) == (500, 500)
    assert second.events > 0
    assert sequences(spool)[-1] == 6700
    assert spool.bytes_on_disk() <= SMALLEST_BYTES


def test_what_is_on_the_way_stays(path: Path) -> None:
    spool = Spool(path, SMALLEST_BYTES)
    fill(spool, SERIES, 300)
    fill(spool, SERIES, 6000, keep_to=300)
    assert spool.dropped().series > 0
    assert sequences(spool)[:300] == list(range(1, 301))


def test_dropped_is_kept_and_space_is_used_again(path: Path) -> None:
    spool = Spool(path, SMALLEST_BYTES)
    fill(spool, SERIES, 6000)
    before = spool.dropped()
    spool.acked(spool.last())
    fill(spool, SERIES, 2000)
    assert spool.dropped() == before
    spool.close()
    assert Spool(path).dropped() == before
    assert spool.bytes_on_disk() <= SMALLEST_BYTES


def test_the_disk_gets_its_space_back(path: Path) -> None:
    spool = Spool(path)
    fill(spool, EVENT, 6000)
    large = spool.bytes_on_disk()
    for sequence in range(100, 6001, 100):
        spool.acked(sequence)
    assert spool.bytes_on_disk() < large / 2
    assert (path.with_name(path.name + "-wal")).stat().st_size <= LOG_BYTES


def test_all_of_an_append_or_nothing(path: Path) -> None:
    spool = Spool(path)
    spool.append([(EVENT, b"a")])
    with pytest.raises(SpoolError):
        spool.append([(EVENT, b"b"), (EVENT, [])])  # type: ignore[list-item]
    assert spool.append([(EVENT, b"c")]) == 2
    assert [each.body for each in spool.read(0, 10, 10).records] == [b"a", b"c"]


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    spool = Spool(path)
    assert spool.renamed == "spool.db.unreadable-1"
    assert path.with_name(spool.renamed).read_bytes().startswith(b"not a database")
    assert spool.append([(EVENT, b"a")]) == 1


def test_a_damaged_database_is_set_aside(path: Path) -> None:
    spool = Spool(path)
    name = spool.name()
    fill(spool, EVENT, 1000)
    spool.close()
    data = bytearray(path.read_bytes())
    # In the middle of the table's pages, so that the head is still right.
    data[20 * 4096 : 400 * 4096] = os.urandom(380 * 4096)
    path.write_bytes(data)
    spool = Spool(path)
    assert spool.renamed
    assert spool.name() != name
    assert spool.dropped() == Dropped()


def test_errors_are_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file"):
        Spool(tmp_path / "file" / "spool.db")
    spool = Spool(tmp_path / "spool.db")
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("DROP TABLE record")
    with pytest.raises(SpoolError, match="no such table"):
        spool.append([(EVENT, b"a")])
    with pytest.raises(SpoolError, match="no such table"):
        spool.read(0, 1, 1)
