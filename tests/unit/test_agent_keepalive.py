"""What the agent makes of lines that change, that cannot be set, and that somebody has left behind."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_interface
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bongsu.agent import keepalive as module
from bongsu.agent.apply import Applier, Report
from bongsu.agent.events import EventLog
from bongsu.agent.keepalive import KeepaliveShell, session_of
from bongsu.model.tunnel import Keepalive
from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout
from bongsu.system.gre.base import GreError, Seat
from bongsu.system.keepalive.engine import Change
from bongsu.system.keepalive.memory import Memory
from bongsu.system.keepalive.session import Session

FAST, SLOW = Keepalive(milliseconds=10), Keepalive(seconds=10)


def plan(name: str = "t", keepalive: Keepalive | None = FAST, **changes: Any) -> TunnelPlan:
    values: dict[str, Any] = {
        "name": name,
        "peer": "b",
        "underlay": "lo",
        "local": ip_address("192.0.2.1"),
        "remote": ip_address("192.0.2.2"),
        "key": None,
        "ttl": 255,
        "tos": "inherit",
        "mtu": 1476,
        "overhead": 24,
        "addresses": [ip_interface("10.9.0.1/30")],
        "peer_addresses": [ip_address("10.9.0.2")],
        "inner_sources": [],
        "inner_destinations": [],
        "keepalive": keepalive,
        "peer_keepalive": None,
        "bfd": None,
        "bgp": False,
        "egress": False,
        "preference": 100,
        "insecure": True,
    }
    return TunnelPlan.model_validate(values | changes)


class Engine:
    """Lines by slot as a test has them, in place of the thread."""

    def __init__(self, memory: Memory) -> None:
        self.lines: dict[int, bool] = {}
        self.news: list[Change] = []
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def add(self, slot: int, session: Session, *, up: bool = True) -> None:
        self.lines[slot] = up

    def remove(self, slot: int) -> None:
        del self.lines[slot]

    def up(self, slot: int) -> bool:
        return self.lines[slot]

    def transitions(self) -> list[Change]:
        found, self.news = self.news, []
        return found

    def debug(self, on: bool) -> None:
        pass

    def close(self) -> None:
        os.close(self._fd)


class Stage:
    """A shell over such an engine; the system sets lines as the test lets it."""

    def __init__(self) -> None:
        self.events = EventLog(None, None)
        self.shell = KeepaliveShell(self.events, self._set_line)
        self.memory = Memory(np.zeros(8, layout.KEEPALIVE), np.zeros(8, layout.STATE))
        self.asked: list[tuple[str, bool]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False

    async def _set_line(self, name: str, up: bool) -> None:
        self.asked.append((name, up))
        await self.open.wait()
        if self.broken:
            raise GreError("no such device")

    def watch(self, *plans: TunnelPlan, up: bool = True) -> None:
        seats = {each.name: Seat(slot, up, True) for slot, each in enumerate(plans, 1)}
        self.shell.set_tunnels(plans, self.memory, seats)

    def change(self, slot: int, up: bool) -> None:
        """The line of the slot goes up or down, and the shell hears of it."""
        engine: Any = self.shell._engine
        engine.lines[slot] = up
        engine.news.append(Change(slot, up, 0 if up else 3, 1, 2))
        self.shell._read()

    async def rest(self) -> None:
        """Until nothing is left to do."""
        for _ in range(20):
            await asyncio.sleep(0)

    def told(self, kind: str = "line-protocol") -> list[str]:
        return [event.cause for event in self.events.since() if event.kind == kind]


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KeepaliveEngine", Engine)


def test_a_line_left_down_is_let_go_where_nobody_watches_any_more() -> None:
    """An agent before this one held it; with the keepalive gone nobody else would ever let it go."""

    async def scenario(*plans: TunnelPlan) -> list[int]:
        stage = Stage()
        assert stage.memory.states is not None
        stage.memory.states["keepalive_down"][[1, 3]] = 1
        stage.watch(*plans)
        await stage.rest()
        stage.shell.close()
        return list(np.flatnonzero(stage.memory.states["keepalive_down"]))

    assert asyncio.run(scenario()) == []
    assert asyncio.run(scenario(plan())) == [1], "its own it goes on with"


def test_a_line_set_for_a_session_that_has_ended_meanwhile_is_set_again() -> None:
    """The tunnel gets another keepalive while the system is still taking its interface down."""

    async def scenario() -> list[tuple[str, bool]]:
        stage = Stage()
        stage.watch(plan())
        stage.open.clear()
        stage.change(1, up=False)
        await stage.rest()
        assert stage.asked == [("t", False)]
        # What the seat says was read before; the new session begins with the line up.
        stage.watch(plan(keepalive=SLOW), up=True)
        stage.open.set()
        await stage.rest()
        stage.shell.close()
        return stage.asked

    assert asyncio.run(scenario()) == [("t", False), ("t", True)]


class Interfaces:
    """A backend, as far as lines go."""

    def __init__(self) -> None:
        self.lines = {"t": True}
        self.memory = Memory.private(8)

    def line(self, name: str) -> bool:
        return self.lines[name]

    def set_line(self, name: str, up: bool) -> None:
        self.lines[name] = up

    def seats(self) -> dict[str, Seat]:
        return {"t": Seat(1, self.lines["t"], True)}

    def keepalive_memory(self) -> Memory:
        return self.memory


def test_a_line_that_falls_while_its_keepalive_is_taken_out_of_the_file_comes_up() -> None:
    """Between the step that builds tunnels and the one that ends sessions a daemon may start."""
    events, backend = EventLog(None, None), Interfaces()

    async def scenario(worker: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()

        async def set_line(name: str, up: bool) -> None:
            await loop.run_in_executor(worker, backend.set_line, name, up)

        shell = KeepaliveShell(events, set_line)
        applier: Any = Applier.__new__(Applier)
        applier._worker, applier._keepalive, applier._report = worker, shell, Report()
        watched, silent = (SimpleNamespace(tunnels=[plan(keepalive=k)]) for k in (FAST, None))
        await applier._watch(backend, watched)
        engine: Any = shell._engine
        engine.lines[1] = False
        engine.news.append(Change(1, False, 3, 1, 2))
        shell._read()
        await asyncio.sleep(0)
        await applier._watch(backend, silent)
        shell.close()
        assert applier._report.changes == ["line protocol of t up: no keepalive"]

    with ThreadPoolExecutor(1) as worker:
        asyncio.run(scenario(worker))
    assert backend.lines == {"t": True}


def test_a_state_that_is_told_again_is_no_change() -> None:
    """Of more changes than are kept, the engine tells every line as it is, moved or not."""

    async def scenario() -> tuple[Stage, Any]:
        stage = Stage()
        stage.watch(plan())
        for up in (True, False, False, True, True):
            stage.change(1, up)
            await stage.rest()
        told = stage.shell._watched["t"].last_change
        stage.shell.close()
        return stage, told

    stage, told = asyncio.run(scenario())
    assert stage.told() == ["3 keepalives unanswered", "keepalive answered"]
    assert stage.told("carrier") == ["line protocol down", "line protocol up"]
    assert stage.asked == [("t", False), ("t", True)]
    assert told["state"] == "up"


def test_what_is_overtaken_is_passed_over() -> None:
    """The system is slow: three changes later it is asked for the last of them, and once."""

    async def scenario() -> Stage:
        stage = Stage()
        stage.watch(plan())
        stage.open.clear()
        for up in (False, True, False, True):
            stage.change(1, up)
            await stage.rest()
        stage.open.set()
        await stage.rest()
        stage.shell.close()
        return stage

    stage = asyncio.run(scenario())
    assert stage.asked == [("t", False), ("t", True)]
    assert len(stage.told()) == 4, "an operator is told of each"


def test_a_line_that_was_left_down_halfway_is_finished() -> None:
    """The kernel carries no data, and the interface has not been told: the agent died in between."""

    async def scenario() -> Stage:
        stage = Stage()
        assert stage.memory.states is not None
        stage.memory.states["keepalive_down"][1] = 1
        stage.watch(plan(), up=True)
        await stage.rest()
        stage.change(1, up=True)
        await stage.rest()
        stage.shell.close()
        return stage

    stage = asyncio.run(scenario())
    assert stage.asked == [("t", False), ("t", True)]
    assert stage.told() == ["keepalive answered"]


@pytest.mark.parametrize(("tos", "written"), [("inherit", 0), (0x20, 0x20), (0xB9, 0xB8), (3, 0)])
def test_a_keepalive_is_not_marked_as_congested(tos: str | int, written: int) -> None:
    """The two ECN bits of a tunnel's TOS are used by neither backend, for data or for this."""
    session = session_of(plan(tos=tos), Seat(1, True, True))
    assert (session.tos, session.payload[5]) == (written, written)
