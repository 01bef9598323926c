"""Events are kept up to a bound and written as lines, and writing never fails the agent."""

import io
import json
from pathlib import Path

import pytest

from bongsu.agent import events
from bongsu.agent.events import EventLog


def test_ring_and_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = EventLog(tmp_path / "agent.log", stream)
    log.add("agent", "", "started")
    log.add("line-protocol", "gre-seoul", "3 keepalives unanswered", level="warning", state="down")
    assert [event.sequence for event in log.since(1)] == [2]
    line = json.loads(stream.getvalue().splitlines()[1])
    assert (
        line.items()
        >= {
            "event": "line-protocol",
            "subject": "gre-seoul",
            "cause": "3 keepalives unanswered",
            "level": "warning",
            "state": "down",
        }.items()
    )
    assert (tmp_path / "agent.log").read_text() == stream.getvalue()
    assert (tmp_path / "agent.log").stat().st_mode & 0o777 == 0o600


def test_the_ring_is_bounded() -> None:
    log = EventLog(None, None)
    for _ in range(events.RING_SIZE + 10):
        log.add("noise")
    kept = log.since(limit=10 * events.RING_SIZE)
    assert (len(kept), kept[0].sequence) == (events.RING_SIZE, 11)
    assert [event.sequence for event in log.since(limit=2)] == [
        kept[-2].sequence,
        kept[-1].sequence,
    ]


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOG_BOUND", 1000)
    log = EventLog(tmp_path / "agent.log", None)
    for _ in range(50):
        log.add("noise", cause="x" * 100)
    assert {path.name for path in tmp_path.iterdir()} <= {"agent.log", "agent.log.1"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3000


def test_a_log_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    EventLog(tmp_path / "no" / "such" / "agent.log", closed).add("agent")
