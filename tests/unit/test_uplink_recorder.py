"""What is told waits in a queue that is bounded, and figures become rows."""

import math

import pytest

from bongsu.agent.events import Event
from bongsu.agent.uplink import figures, recorder
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.spool import Kind
from bongsu.wire.bounds import BODY_BYTES
from bongsu.wire.codec import decode_payload
from bongsu.wire.messages import Event as Told
from bongsu.wire.messages import Row, Series, Snapshot


def event(sequence: int = 1, **details: object) -> Event:
    return Event(sequence, "2026-11-30T00:00:00+00:00", 5, "info", "kind", "who", "why", details)


def test_everything_in_its_order() -> None:
    made = Recorder(lambda: 77)
    woken = []
    made.wake = lambda: woken.append(1)
    made.event(event(9, a=1), 66)
    made.series("tunnel", ("rx",), [Row("a", (1.0,))])
    made.snapshot("status", "digest", {"x": 1})
    assert len(woken) == 3
    taken = made.take(10)
    assert [kind for kind, _ in taken] == [Kind.EVENT, Kind.SERIES, Kind.SNAPSHOT]
    payloads = [decode_payload(body) for _, body in taken]
    assert [each.time_ns for each in payloads] == [66, 77, 77]
    assert payloads[0].what == Told("info", "kind", "who", "why", 9, 5, {"a": 1})
    assert payloads[1].what == Series("tunnel", ("rx",), (Row("a", (1.0,)),))
    assert payloads[2].what == Snapshot("status", "digest", {"x": 1})
    assert made.take(10) == []


def test_many_subjects_are_several_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SERIES_ROWS", 10)
    made = Recorder(lambda: 1)
    made.series("tunnel", ("rx",), [Row(str(each), (1.0,)) for each in range(25)])
    found = [decode_payload(body).what for _, body in made.take(10)]
    assert [len(each.rows) for each in found if isinstance(each, Series)] == [10, 10, 5]


def test_no_subject_is_no_record() -> None:
    made = Recorder(lambda: 1)
    made.series("tunnel", ("rx",), [])
    assert made.take(1) == []


def test_the_queue_is_bounded_and_series_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "QUEUE_RECORDS", 4)
    made = Recorder(lambda: 1)
    made.event(event(1))
    made.series("a", ("x",), [Row("1", (1.0,))])
    made.series("b", ("x",), [Row("1", (1.0,))])
    made.event(event(2))
    made.event(event(3))
    made.event(event(4))
    assert made.dropped == 2
    assert [kind for kind, _ in made.take(9)] == [Kind.EVENT] * 4
    for each in range(6):
        made.event(event(each))
    assert made.dropped == 4
    told = [decode_payload(body).what for _, body in made.take(9)]
    assert [each.number for each in told if isinstance(each, Told)] == [2, 3, 4, 5]


def test_the_queue_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "QUEUE_BYTES", 5000)
    made = Recorder(lambda: 1)
    for each in range(10):
        made.event(event(each, text="x" * 900))
    taken = made.take(99)
    assert sum(len(body) for _, body in taken) <= 5000
    assert len(taken) + made.dropped == 10


def test_what_the_disk_did_not_take_is_first_again() -> None:
    made = Recorder(lambda: 1)
    for each in range(4):
        made.event(event(each))
    first = made.take(2)
    made.put_back(first)
    numbers = [decode_payload(body).what for _, body in made.take(9)]
    assert [each.number for each in numbers if isinstance(each, Told)] == [0, 1, 2, 3]


def test_an_event_without_its_details_is_better_than_none() -> None:
    made = Recorder(lambda: 1)
    made.event(event(1, text="x" * BODY_BYTES))
    made.snapshot("status", "", "x" * 40_000_000)
    taken = made.take(9)
    assert made.too_large == 2
    assert len(taken) == 1
    told = decode_payload(taken[0][1]).what
    assert isinstance(told, Told)
    assert (told.cause, list(told.details)) == ("why", ["left_out"])


def test_tunnels() -> None:
    counters = {
        "gre-a": {
            "rx_packets": 1, "rx_bytes": 2, "tx_packets": 3, "tx_bytes": 4, "too_big_sent": 5,
            "too_big_received": 6, "keepalives_reflected": 9, "drops": {"no-route": 3, "x": 4},
        },
        "gre-b": {"rx_packets": 1, "drops": {}},
    }  # fmt: skip
    line = {"line_protocol": "up", "sent": 7, "received": 6, "lost": 1, "rtt_ms": {"last": 2.5}}
    first, second = figures.tunnels(counters, lambda name: line if name == "gre-a" else None)
    assert first == Row("gre-a", (1, 2, 3, 4, 5, 6, 7, 1, 7, 6, 1, 2.5))
    assert second.values[0] == 1
    assert second.values[6] == 0
    assert math.isnan(second.values[7])
    assert len(first.values) == len(second.values) == len(figures.TUNNEL)
    down = figures.tunnels(counters, lambda _: {"line_protocol": "down", "rtt_ms": None})
    assert down[0].values[7] == 0


def test_paths_accelerators_and_vpns() -> None:
    path = {
        "from": "a", "to": "b", "state": "alive", "probes": 9, "loss": 0.1, "p50_ms": 3.0,
        "p99_ms": None, "avg_ms": 1.0, "jitter_ms": 0.2, "way": "b",
    }  # fmt: skip
    (row,) = figures.paths({"paths": [path]})
    assert row.subject == "b"
    assert row.values[:4] == (1, 9, 0.1, 3.0)
    assert math.isnan(row.values[4])
    assert len(row.values) == len(figures.PATH)
    carried = {"packets": 1, "bytes": 2, "drops": {"x": 3}}
    counted = {"up": carried, "down": carried, "fragments": 4, "fragmented": 5, "too_big_sent": 6,
               "unrepaired": 7, "moved": 8}  # fmt: skip
    assert figures.accelerators({"acc": counted}) == [Row("acc", (1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8))]
    vpn = {"name": "v", "state": "degraded", "rekeys": 1, "falls": 2,
           "probe": {"sent": 5, "answered": 4, "loss": 0.2, "rtt_ms": None},
           "esp": [{"bytes_in": 10, "bytes_out": 20}, {"bytes_in": 1, "bytes_out": 2}]}  # fmt: skip
    (row,) = figures.vpns({"tunnels": [vpn]})
    assert row.values[:4] == (0, 5, 4, 0.2)
    assert row.values[5:] == (11, 22, 1, 2)
    assert len(row.values) == len(figures.VPN)
