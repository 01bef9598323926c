"""What is delivered is kept once, whatever dies in between; series are rolled up and forgotten."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bongsu.system.clock import unix_ns
from bongsu.tower.files import Layout, Settings
from bongsu.tower.store.base import Delivery, StoreError
from bongsu.tower.store.disk import DiskStore
from bongsu.tower.store.series import finest
from bongsu.tower.store.state import UNREADABLE_KEPT, State
from bongsu.wire import codec
from bongsu.wire.messages import Event, Payload, Record, Row, Series, Snapshot

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SPOOL, OTHER = bytes(16), bytes([1] * 16)
WEEK = timedelta(days=7)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "tower")
    layout.make()
    return layout


@pytest.fixture
def store(layout: Layout) -> Iterator[DiskStore]:
    made = DiskStore(layout, Settings("x"))
    made.admit("seoul", "01", NOW + WEEK, NOW)
    yield made
    made.close()


def event(number: int, at: datetime = NOW) -> bytes:
    what = Event("info", "kind", "subject", "cause", number, 1, {"n": number})
    return codec.encode_payload(Payload(unix_ns(at), what))


def series(value: float, at: datetime = NOW, subject: str = "gre-a") -> bytes:
    what = Series("tunnel", ("rx", "tx"), (Row(subject, (value, math.nan)),))
    return codec.encode_payload(Payload(unix_ns(at), what))


def delivery(after: int, *bodies: bytes, missing: int = 0, spool: bytes = SPOOL) -> Delivery:
    first = after + 1 + missing
    records = tuple(Record(first + each, body) for each, body in enumerate(bodies))
    return Delivery("seoul", "01", spool, after, records, missing)


def points(store: DiskStore, metric: str = "rx", step_s: float = 1.0) -> list[tuple[float, int]]:
    begin, end = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    found = store.points("seoul", "tunnel", "gre-a", metric, begin, end, step_s, NOW)
    return [(each.last, each.count) for each in found]


def test_each_kind_has_its_place(store: DiskStore) -> None:
    snapshot = codec.encode_payload(Payload(unix_ns(NOW), Snapshot("status", "d1", {"x": 1})))
    assert store.keep([delivery(0, event(1), series(5), snapshot)], NOW) == [""]
    assert store.kept("seoul", SPOOL) == 3
    (row,) = store.events("seoul", 0, 10)
    assert (row.event.details, row.time, row.node) == ({"n": 1}, NOW, "seoul")
    assert points(store) == [(5.0, 1)]
    assert points(store, "tx") == []
    found = store.snapshot("seoul", "status")
    assert found is not None
    assert (found.document, found.plan) == ({"x": 1}, "d1")
    (node,) = store.nodes()
    assert (node.records, node.missing, node.plan, node.seen) == (3, 0, "d1", NOW)


def test_only_what_follows_what_is_kept(store: DiskStore) -> None:
    assert store.keep([delivery(0, event(1)), delivery(1, event(2))], NOW) == ["", ""]
    # Twice the same, and one that left something out.
    refused = store.keep([delivery(1, event(2)), delivery(3, event(4))], NOW)
    assert all("2 is the last one kept" in why for why in refused)
    assert len(store.events("seoul", 0, 10)) == 2


def test_after_a_refusal_nothing_of_that_spool_is_kept(store: DiskStore) -> None:
    first, second = delivery(5, event(6)), delivery(6, event(7))
    assert all(store.keep([first, second], NOW))
    assert store.events("seoul", 0, 10) == []


def test_spools_are_apart(store: DiskStore) -> None:
    assert store.keep([delivery(0, event(1)), delivery(0, event(1), spool=OTHER)], NOW) == ["", ""]
    assert (store.kept("seoul", SPOOL), store.kept("seoul", OTHER)) == (1, 1)


def test_a_certificate_that_has_ended_brings_nothing(store: DiskStore) -> None:
    (why,) = store.keep([delivery(0, event(1))], NOW + WEEK)
    assert "ended or been revoked" in why
    store.remove("seoul", NOW)
    (why,) = store.keep([delivery(0, event(1))], NOW)
    assert "ended or been revoked" in why
    assert store.events(None, 0, 10) == []


def test_missing_and_unreadable_are_counted(store: DiskStore) -> None:
    later = Payload(5, None)
    assert codec.decode_payload(bytes([15 << 3 | 2, 1, 7])) == Payload(0, None)
    bad = delivery(0, event(1), b"\xff", bytes([15 << 3 | 2, 1, 7]), missing=4)
    assert store.keep([bad], NOW) == [""]
    (node,) = store.nodes()
    assert (node.records, node.missing, node.unreadable) == (3, 4, 2)
    assert node.records + node.missing == store.kept("seoul", SPOOL)
    many = [b"\xff"] * (UNREADABLE_KEPT + 20)
    store.keep([delivery(7, *many)], NOW)
    (count,) = store._database.execute("SELECT count(*) FROM unreadable").fetchone()
    assert count == UNREADABLE_KEPT
    assert later.what is None


def test_killed_between_the_two_databases(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskStore(layout, Settings("x"))
    store.admit("seoul", "01", NOW + WEEK, NOW)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(State, "write", die)
    with pytest.raises(KeyboardInterrupt):
        store.keep([delivery(0, event(1), series(5))], NOW)
    monkeypatch.undo()
    store.close()
    store = DiskStore(layout, Settings("x"))
    # The series are there, and nobody has been told so: it all comes again, with more behind it.
    assert store.kept("seoul", SPOOL) == 0
    assert points(store) == [(5.0, 1)]
    again = delivery(0, event(1), series(5), series(6, NOW + timedelta(seconds=1)))
    assert store.keep([again], NOW) == [""]
    assert points(store) == [(5.0, 1), (6.0, 1)]
    assert len(store.events("seoul", 0, 10)) == 1
    store.close()


def test_series_that_fail_are_not_acked(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store._series._database.execute("ALTER TABLE raw RENAME TO gone")
    with pytest.raises(StoreError):
        store.keep([delivery(0, event(1), series(5))], NOW)
    assert store.kept("seoul", SPOOL) == 0
    assert store.events("seoul", 0, 10) == []
    store._series._database.execute("ALTER TABLE gone RENAME TO raw")
    assert store.keep([delivery(0, event(1), series(5))], NOW) == [""]
    assert points(store) == [(5.0, 1)]


def test_reopened(layout: Layout) -> None:
    store = DiskStore(layout, Settings("x"))
    store.admit("seoul", "01", NOW + WEEK, NOW)
    store.keep([delivery(0, series(5))], NOW)
    store.close()
    store = DiskStore(layout, Settings("x"))
    assert points(store) == [(5.0, 1)]
    assert store.keep([delivery(1, series(6, NOW + timedelta(seconds=1)))], NOW) == [""]
    assert points(store) == [(5.0, 1), (6.0, 1)]
    store.close()


def minute(store: DiskStore, after: int, begin: datetime) -> int:
    bodies = [series(each, begin + timedelta(seconds=each)) for each in range(60)]
    assert store.keep([delivery(after, *bodies)], NOW) == [""]
    return after + 60


def test_rollups_hold_what_the_rows_held(store: DiskStore) -> None:
    after = minute(store, 0, NOW)
    store.tidy(NOW)
    store.tidy(NOW)
    table = store._series
    begin, end = NOW, NOW + timedelta(minutes=1)
    args = ("seoul", "tunnel", "gre-a", "rx", begin, end)
    fine = table.points(*args, 10.0, "ten_seconds")
    assert fine == table.points(*args, 10.0, "raw")
    assert [(p.low, p.high, p.mean, p.last, p.count) for p in fine[:2]] == [
        (0, 9, 4.5, 9, 10), (10, 19, 14.5, 19, 10),
    ]  # fmt: skip
    coarse = table.points(*args, 300.0, "five_minutes")
    assert [(p.low, p.high, p.mean, p.last, p.count) for p in coarse] == [(0, 59, 29.5, 59, 60)]
    # The same minute again, from another spool, much too late: the parts are put together.
    bodies = [series(100 + each, NOW + timedelta(seconds=each)) for each in range(60)]
    store.keep([delivery(0, *bodies, spool=OTHER)], NOW)
    store.tidy(NOW)
    assert table.points(*args, 10.0, "ten_seconds") == table.points(*args, 10.0, "raw")
    (whole,) = table.points(*args, 300.0, "five_minutes")
    assert (whole.low, whole.high, whole.count) == (0, 159, 120)
    assert after == 60


def test_rolled_up_in_parts(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bongsu.tower.store.series.ROLL_ROWS", 7)
    after = 0
    for each in range(5):
        after = minute(store, after, NOW + timedelta(minutes=each))
    store.tidy(NOW)
    args = ("seoul", "tunnel", "gre-a", "rx", NOW, NOW + timedelta(minutes=5))
    (whole,) = store._series.points(*args, 300.0, "five_minutes")
    assert whole.count == 300


def test_rows_go_when_they_are_old_and_rollups_stay(store: DiskStore) -> None:
    after = minute(store, 0, NOW - timedelta(hours=30))
    minute(store, after, NOW)
    store.tidy(NOW)
    old = ("seoul", "tunnel", "gre-a", "rx", NOW - timedelta(hours=31), NOW - timedelta(hours=29))
    assert store._series.points(*old, 10.0, "raw") == []
    assert sum(p.count for p in store._series.points(*old, 10.0, "ten_seconds")) == 60
    found = store.points(*old, 1.0, NOW)
    assert sum(p.count for p in found) == 60
    assert len(points(store)) == 60


def test_which_table_answers() -> None:
    kept = {
        "raw": timedelta(days=1),
        "ten_seconds": timedelta(days=30),
        "five_minutes": timedelta(730),
    }
    assert finest(timedelta(hours=1), 1, kept) == "raw"
    assert finest(timedelta(hours=1), 10, kept) == "ten_seconds"
    assert finest(timedelta(hours=1), 600, kept) == "five_minutes"
    assert finest(timedelta(days=3), 600, kept) == "five_minutes"
    assert finest(timedelta(days=3), 1, kept) == "ten_seconds"
    assert finest(timedelta(days=3000), 1, kept) == "five_minutes"


def test_events_go_when_they_are_old(store: DiskStore) -> None:
    store.keep([delivery(0, event(1))], NOW)
    store.tidy(NOW + timedelta(days=729))
    assert len(store.events("seoul", 0, 10)) == 1
    store.tidy(NOW + timedelta(days=731))
    assert store.events("seoul", 0, 10) == []


def test_a_clock_that_is_wrong_by_all_there_is(store: DiskStore) -> None:
    what = Event("info", "k", "", "", 0, -(2**63), {})
    body = codec.encode_payload(Payload(2**63 - 1, what))
    far = codec.encode_payload(Payload(-(2**63), Series("t", ("m",), (Row("s", (1.0,)),))))
    assert store.keep([delivery(0, body, far)], NOW) == [""]
    assert len(store.events("seoul", 0, 10)) == 1


def test_words_of_every_language(store: DiskStore) -> None:
    what = Event("info", "봉수", "\ud7a3", "a\nb", 0, 0, {"x": "\ud800", "big": 10**400})
    assert store.keep([delivery(0, codec.encode_payload(Payload(0, what)))], NOW) == [""]
    (row,) = store.events("seoul", 0, 10)
    assert (row.event.kind, row.event.details["big"]) == ("봉수", 10**400)
