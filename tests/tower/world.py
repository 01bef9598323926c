"""A tower and nodes on loopback: real gRPC, real TLS, in this process or in processes of their own.

The clock is handed over, so that an hour passes when a test says so; the product has no such hook.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bongsu.agent.events import Event
from bongsu.agent.uplink.enrol import enrol
from bongsu.agent.uplink.home import Home, Settings
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.uplink import Uplink
from bongsu.system.clock import Clock, unix_ns
from bongsu.system.management import Place
from bongsu.system.netns import in_netns
from bongsu.tower.authority import Authority, found
from bongsu.tower.files import Layout
from bongsu.tower.files import Settings as TowerSettings
from bongsu.tower.server import Tower
from bongsu.tower.store.base import EventRow, NodeRow
from bongsu.tower.store.state import State
from bongsu.wire.messages import Row

PATIENCE_S = 60.0
"""A machine that does other work as well is slow; a test that fails takes this long."""
HOST = "127.0.0.1"
HERE = Place()


def until(what: Callable[[], Any], why: str) -> Any:
    """Wait until it is so, and what it was."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.02)
    return found


class TestClock(Clock):
    """Real time, and what a test adds to it."""

    __test__ = False

    def __init__(self) -> None:
        self.added = 0.0

    def now(self) -> float:
        return super().now() + self.added

    def utc(self) -> datetime:
        return super().utc() + timedelta(seconds=self.added)

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        while not event.is_set() and (until is None or self.now() < until):
            try:
                async with asyncio.timeout(0.01):
                    await event.wait()
            except TimeoutError:
                continue


class RunningTower:
    """A tower in a thread; stopped and started again in the same directory, on the same ports."""

    def __init__(
        self, directory: Path, clock: Clock | None = None, netns: str | None = None, **settings: Any
    ) -> None:
        self.layout = Layout(directory)
        self._netns = netns
        self.clock = clock or Clock()
        chosen = TowerSettings(HOST, 0, 0, HOST, **settings)
        found(self.layout, chosen, self.clock.utc())
        self.tower: Tower | None = None
        self._thread: threading.Thread | None = None
        self.failed: BaseException | None = None

    def start(self) -> None:
        ready = threading.Event()
        self.failed = None

        def run() -> None:
            async def main() -> None:
                self.tower = Tower(self.layout.directory, self.clock)
                self._loop = asyncio.get_running_loop()
                await self.tower.run(ready.set)

            try:
                with in_netns(self._netns):
                    asyncio.run(main())
            except BaseException as error:
                self.failed = error
                ready.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S)
        if self.failed is not None:
            raise self.failed
        assert self.tower is not None
        # The same ports the next time, for the nodes know them.
        settings = replace(
            self.layout.need(),
            node_port=self.tower.node_port,
            enrolment_port=self.tower.enrolment_port,
        )
        self.layout.write_settings(settings)
        self.node_port, self.enrolment_port = self.tower.node_port, self.tower.enrolment_port
        self.tower._authority._settings = settings

    def stop(self) -> None:
        if self.tower is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self.tower.stop)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.tower = self._thread = None

    def token(self, node: str, valid: timedelta = timedelta(hours=1)) -> str:
        state = State(self.layout.state)
        try:
            authority = Authority(self.layout, self.layout.need(), state)
            return str(authority.invite(node, valid, self.clock.utc()))
        finally:
            state.close()

    def remove(self, node: str) -> None:
        state = State(self.layout.state)
        state.remove(node, self.clock.utc())
        state.close()

    def nodes(self) -> dict[str, NodeRow]:
        state = State(self.layout.state)
        try:
            return {each.name: each for each in state.nodes()}
        finally:
            state.close()

    def events(self, node: str | None, limit: int = 10**6) -> list[EventRow]:
        state = State(self.layout.state)
        try:
            return state.events(node, 0, limit)
        finally:
            state.close()

    def numbers(self, node: str) -> list[int]:
        """The `n` of the node's events, in the order in which they were kept."""
        return [row.event.details["n"] for row in self.events(node)]

    def enrol(
        self,
        node: str,
        directory: Path,
        place: Place = HERE,
        **choices: Any,
    ) -> Home:
        home = Home(directory)
        call = enrol(
            home, self.token(node), HOST, self.enrolment_port, place,
            {"spool_bytes": 16 * 2**20, **choices},
        )  # fmt: skip
        settings = asyncio.run(call)
        home.write(replace(settings, port=self.node_port))
        return home


@dataclass
class Said:
    """What an uplink told of itself."""

    level: str
    subject: str
    cause: str
    details: Mapping[str, Any]


class Node:
    """A recorder and an uplink, as an agent has them."""

    def __init__(self, home: Home, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.home = home
        self.said: list[Said] = []
        self.recorder = Recorder(lambda: unix_ns(self.clock.utc()))
        self.uplink = Uplink(
            home, self.recorder, lambda *words: self.said.append(Said(*words)), self.clock
        )
        self.uplink.start()

    def event(self, number: int, **details: Any) -> None:
        now = datetime.now(UTC).isoformat()
        self.recorder.event(Event(number, now, 0, "info", "test", "", "", {"n": number, **details}))

    def series(self, value: float, subject: str = "gre-a") -> None:
        self.recorder.series("tunnel", ("rx",), [Row(subject, (value,))])

    def heard(self, subject: str) -> list[str]:
        return [each.cause for each in self.said if each.subject == subject]

    def connected(self) -> int:
        return sum(1 for each in self.said if each.cause == "connected")

    def stop(self) -> None:
        self.uplink.stop()


def use(home: Home, **changes: Any) -> Settings:
    """Change what an enrolment has written."""
    settings = replace(home.read(), **changes)
    home.write(settings)
    return settings
