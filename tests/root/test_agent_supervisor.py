"""One daemon, never two: found silent, gone silent, stopped while it starts."""

import asyncio
from pathlib import Path

import pytest

from bongsu.agent import supervisor
from bongsu.agent.events import EventLog
from bongsu.agent.supervisor import NotReadyError, Supervisor
from bongsu.system.run import Process, is_same_process, spawn

pytestmark = pytest.mark.root


class Sleeper:
    """A daemon that answers when the test says so; it remembers all that it ever started."""

    name = unit = "sleeper"

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.started: list[Process] = []
        self.questions = 0

    def start(self, log: Path) -> Process:
        self.started.append(spawn(["sleep", "600"]))
        return self.started[-1]

    def answers(self) -> bool:
        self.questions += 1
        return self.up and bool(self.alive())

    def prioritise(self, pid: int) -> str:
        return "normal"

    def alive(self) -> list[int]:
        return [p.pid for p in self.started if is_same_process(p.pid, p.start_time)]

    def end(self) -> None:
        for process in self.started:
            process.terminate(1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "READY_WITHIN_S", 0.2)
    monkeypatch.setattr(supervisor, "LIVENESS_S", 0.02, raising=False)
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.05)


@pytest.fixture
def events() -> EventLog:
    return EventLog(None, None)


def causes(events: EventLog) -> list[str]:
    return [event.cause for event in events.since()]


async def left_running(daemon: Sleeper, home: Path, events: EventLog) -> int:
    """A first agent starts the daemon and is killed; the daemon's pid."""
    first = Supervisor(daemon, home, events)
    assert await first.ensure() == "started"
    first.detach()
    (pid,) = daemon.alive()
    return pid


async def until(what: object, why: str) -> None:
    for _ in range(1000):
        if what():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    raise AssertionError(why)


def test_a_silent_one_is_ended_before_another_starts(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    class Heals(Sleeper):
        """Answers only as the second process."""

        def start(self, log: Path) -> Process:
            self.up = bool(self.started)
            assert not self.alive(), "a second one beside the first"
            return super().start(log)

    async def scenario() -> None:
        pid = await left_running(daemon, tmp_path, events)
        heir = Heals(up=False)
        heir.started = daemon.started
        second = Supervisor(heir, tmp_path, events)
        assert await second.ensure() == "started"
        assert len(heir.alive()) == 1
        assert pid not in heir.alive()
        await second.stop()
        assert not heir.alive()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()
    assert "found running, but silent for 0.2 s: ended" in causes(events)


def test_one_that_answers_late_is_adopted(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        pid = await left_running(daemon, tmp_path, events)
        daemon.up = False
        daemon.questions = 0
        second = Supervisor(daemon, tmp_path, events)
        asked = asyncio.ensure_future(second.ensure())
        await until(lambda: daemon.questions > 2, "it was not asked again")
        daemon.up = True
        assert await asked == "adopted"
        assert daemon.alive() == [pid]
        await second.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()


def test_stop_ends_one_that_does_not_answer(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        await left_running(daemon, tmp_path, events)
        daemon.up = False
        second = Supervisor(daemon, tmp_path, events)
        assert await second.stop()
        assert daemon.alive() == []
        assert not await second.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()


def test_one_that_never_answered_is_tried_again(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper(up=False)

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        with pytest.raises(NotReadyError, match="does not answer"):
            await watched.ensure()
        assert len(daemon.alive()) <= 1
        await until(lambda: len(daemon.started) >= 3, "it was given up")
        assert len(daemon.alive()) <= 1
        daemon.up = True
        await until(lambda: "started" in causes(events), "it did not come back")
        assert await watched.ensure() == "running"
        assert len(daemon.alive()) == 1
        await watched.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()
    assert any(cause.startswith("sleeper does not answer") for cause in causes(events))


def test_one_that_falls_silent_is_ended_and_comes_back(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        await watched.ensure()
        (pid,) = daemon.alive()
        daemon.up = False
        await until(lambda: pid not in daemon.alive(), "silence went unnoticed")
        daemon.up = True
        await until(lambda: causes(events).count("started") == 2, "it did not come back")
        assert len(daemon.alive()) == 1
        await watched.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()
    hung, ended = causes(events)[1:3]
    assert hung == "lives, but 5 questions went unanswered: ended"
    assert ended == "ended: SIGTERM"


def test_a_moment_of_silence_is_forgiven(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        await watched.ensure()
        for _ in range(3):
            daemon.up, asked = False, daemon.questions
            await until(lambda asked=asked: daemon.questions >= asked + 3, "nobody asks")
            daemon.up, asked = True, daemon.questions
            await until(lambda asked=asked: daemon.questions > asked + 1, "nobody asks")
        await watched.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()
    assert causes(events) == ["started", "stopped by the agent"]
    assert len(daemon.started) == 1


def test_a_closed_one_starts_nothing(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        watched.close()
        with pytest.raises(NotReadyError, match="the agent is stopping"):
            await watched.ensure()

    asyncio.run(scenario())
    assert daemon.started == []


def test_closing_interrupts_a_start(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper(up=False)

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        starting = asyncio.ensure_future(watched.ensure())
        await until(daemon.alive, "it was not started")
        watched.close()
        with pytest.raises(NotReadyError, match="not wanted any more"):
            await starting
        assert await watched.stop()
        assert daemon.alive() == []

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()


def test_a_restart_and_an_apply_do_not_both_start_one(tmp_path: Path, events: EventLog) -> None:
    daemon = Sleeper()

    async def scenario() -> None:
        watched = Supervisor(daemon, tmp_path, events)
        await watched.ensure()
        for _ in range(2):  # the second restart waits BACKOFF_FIRST_S, and the apply comes first
            (pid,) = daemon.alive()
            daemon.started[-1].terminate(1)
            while watched.status()["pid"] == pid:
                await asyncio.sleep(0)
            await asyncio.sleep(0.005)
            await watched.ensure()
        await asyncio.sleep(0.2)
        assert len(daemon.alive()) == 1
        await watched.stop()

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()


def test_nobody_speaks_to_one_that_has_not_what_it_needs(tmp_path: Path, events: EventLog) -> None:
    """What it is told before its configuration would be overwritten by it, and taken for told."""
    daemon = Sleeper()
    seen: list[int | None] = []

    async def settle(_: int) -> None:
        seen.append(one.process)

    one = Supervisor(daemon, tmp_path, events, settle)

    async def scenario() -> None:
        await one.ensure()
        assert [one.process] == daemon.alive()
        daemon.started[-1].terminate(1)
        await until(lambda: len(seen) == 2 and one.process is not None, "it did not come back")
        assert [one.process] == daemon.alive()
        one.detach()
        assert one.process is None
        heir = Supervisor(daemon, tmp_path, events, settle)
        assert await heir.ensure() == "adopted"
        assert [heir.process] == daemon.alive()
        await heir.stop()
        assert heir.process is None

    try:
        asyncio.run(scenario())
    finally:
        daemon.end()
    assert seen == [None, None]
