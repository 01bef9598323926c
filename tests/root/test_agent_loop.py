"""The agent's own loop: what fails in it, what interrupts it, and what it answers meanwhile."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.agent import agent as module
from bongsu.agent.agent import Agent, Options
from bongsu.agent.apply import ApplyError, Report
from bongsu.agent.keepalive import _Watched
from bongsu.agent.supervisor import NotReadyError, Supervisor
from bongsu.system.agent_client import AgentClient, AgentError
from tests.root.test_agent_supervisor import Sleeper, until

pytestmark = pytest.mark.root


class Refusing:
    """A GRE backend whose every call the kernel refuses, until it is told to stop that."""

    name = unit = "refusing"

    def __init__(self) -> None:
        self.broken = True
        self.refreshed = 0
        self.lines: list[tuple[str, bool]] = []

    def refresh(self) -> dict[str, int]:
        self.refreshed += 1
        self._refuse()
        return {}

    def set_line(self, name: str, up: bool) -> None:
        self._refuse()
        self.lines.append((name, up))

    def counters(self) -> dict[str, Any]:
        self._refuse()
        return {}

    def held(self) -> set[str]:
        self._refuse()
        return set()

    def _refuse(self) -> None:
        if self.broken:
            raise NetlinkError(19, "No such device")


class Lines:
    """A keepalive engine, as far as the lines of its slots."""

    def __init__(self, up: dict[int, bool]) -> None:
        self.up = up.__getitem__


class Stage:
    """An agent in this process whose applies are the test's."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "REFRESH_S", 0.01)
        self.agent = Agent(Options(home / "bundle", home / "state"), lambda: self.backend)  # type: ignore[arg-type, return-value]
        self.backend = Refusing()
        self.client = AgentClient(home / "state" / "agent.sock")
        self.applied: list[Path] = []
        self.during: Callable[[], Awaitable[None]] | None = None
        monkeypatch.setattr(self.agent._applier, "apply", self._apply)

    async def _apply(self, directory: Path) -> Report:
        self.agent._chosen()
        self.applied.append(directory)
        if self.during is not None:
            await self.during()
        return Report("bundle", "plan")

    def play(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run the agent and, beside it, the scenario; then SIGTERM."""

        async def main() -> None:
            running = asyncio.ensure_future(self.agent.run())
            await until(self.client.path.exists, "it does not listen")
            try:
                await scenario()
            finally:
                if not running.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                await running

        asyncio.run(main())

    async def ask(self, request: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(self.client.call, request, **arguments)

    def causes(self, kind: str) -> list[str]:
        return [event.cause for event in self.agent.events.since() if event.kind == kind]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_a_refresh_that_fails_is_an_event(stage: Stage) -> None:
    async def scenario() -> None:
        await until(lambda: stage.backend.refreshed > 5, "it gave up")
        status = await stage.ask("status")
        assert status["backend"] == "refusing"

    stage.play(scenario)
    (cause,) = stage.causes("path-mtu")  # once, and not every second
    assert "No such device" in cause


def test_a_line_that_cannot_be_set_is_set_later(stage: Stage) -> None:
    async def scenario() -> None:
        keepalive = stage.agent._keepalive
        await until(lambda: stage.backend.refreshed > 1, "it does not run")
        keepalive._engine = Lines({1: False, 2: True})  # type: ignore[assignment]
        for slot, name in enumerate(("gre-a", "gre-b"), 1):
            keepalive._watched[name] = _Watched(None, slot, None)  # type: ignore[arg-type]
            keepalive._desired[name] = None
        keepalive._apply_soon()
        refreshed = stage.backend.refreshed
        await until(lambda: stage.backend.refreshed > refreshed + 3, "it gave up")
        assert stage.backend.lines == []
        stage.backend.broken = False
        await until(lambda: len(stage.backend.lines) == 2, "nobody tried again")
        keepalive._watched.clear()
        keepalive._engine = None

    stage.play(scenario)
    assert sorted(stage.backend.lines) == [("gre-a", False), ("gre-b", True)]
    causes = stage.causes("line-protocol")
    assert len(causes) == 4
    assert all("not applied" in cause and "No such device" in cause for cause in causes[:2])
    assert causes[2:] == ["applied at last"] * 2


def test_a_request_that_breaks_down_is_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise KeyError("unforeseen")

    async def scenario() -> None:
        monkeypatch.setattr(stage.agent._status, "full", broken)
        with pytest.raises(AgentError, match="status: KeyError: 'unforeseen'") as caught:
            await stage.ask("status")
        assert caught.value.kind == "internal"
        assert await stage.ask("counters") == {}

    stage.play(scenario)
    assert stage.causes("request status") == ["KeyError: 'unforeseen'"]


def test_sighup_applies_the_bundle_again(stage: Stage) -> None:
    async def scenario() -> None:
        await until(lambda: stage.backend.refreshed, "it does not run")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: len(stage.applied) == 2, "nothing was applied")

        async def refused() -> None:
            raise ApplyError("verify", "no bundle", changed=False)

        stage.during = refused
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: len(stage.applied) == 3, "nothing was applied")
        refreshed = stage.backend.refreshed
        await until(lambda: stage.backend.refreshed > refreshed, "it ended")

    stage.play(scenario)
    assert len(set(stage.applied)) == 1
    assert "goes on as it was: verify: no bundle" in stage.causes("agent")


@pytest.mark.parametrize("first", [True, False])
def test_no_daemon_is_left_by_an_apply_that_is_stopped(stage: Stage, first: bool) -> None:
    daemon = Sleeper()
    at_bird, go_on = asyncio.Event(), asyncio.Event()

    async def to_bird() -> None:
        at_bird.set()
        await go_on.wait()
        try:
            await stage.agent._services.bird.supervisor.ensure()
        except NotReadyError as error:
            raise ApplyError("bird", str(error), changed=True) from error

    async def scenario() -> None:
        asked = None
        if not first:
            await until(lambda: stage.backend.refreshed, "it does not run")
            stage.during = to_bird
            asked = asyncio.ensure_future(stage.ask("apply", bundle="/b"))
        await at_bird.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        go_on.set()
        if asked is not None:
            with pytest.raises(AgentError):
                await asked

    directory = stage.client.path.parent
    stage.agent._services.bird.supervisor = Supervisor(daemon, directory, stage.agent.events)
    if first:
        stage.during = to_bird
    try:
        stage.play(scenario)
        assert daemon.alive() == []
    finally:
        daemon.end()
