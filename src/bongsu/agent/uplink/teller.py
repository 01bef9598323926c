"""What an agent tells its tower: events as they happen, figures and states from time to time.

Asks the agent's own parts, on the agent's loop; the uplink itself has a thread of its own.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bongsu.agent.control import Handler
from bongsu.agent.events import Event, EventLog
from bongsu.agent.keepalive import KeepaliveShell
from bongsu.agent.services.relay import RelayService
from bongsu.agent.status import Status
from bongsu.agent.uplink import figures
from bongsu.agent.uplink.home import Home
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.uplink import Uplink
from bongsu.agent.vpn.status import VpnStatus
from bongsu.system.clock import Clock, unix_ns
from bongsu.wire.messages import Level

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Sources:
    """Whom to ask."""

    plan: Callable[[], str]
    """The digest of the plan in force."""
    tunnels: Ask
    keepalive: Callable[[str], Mapping[str, Any] | None]
    accelerators: Ask
    """Counters by name."""
    paths: Ask
    states: Mapping[str, Ask]
    """By the kind of snapshot."""


class Teller:
    """One agent's. Raises UplinkError if there is no enrolment in the directory."""

    def __init__(
        self, directory: Path, events: EventLog, sources: Sources,
        failed: Callable[[str, Exception], None], clock: Clock,
    ) -> None:  # fmt: skip
        self._events = events
        self._sources = sources
        self._failed = failed
        self._clock = clock
        self._recorder = Recorder(lambda: unix_ns(clock.utc()))
        self._uplink = Uplink(Home(directory), self._recorder, self._tell, clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; what has happened until now is told as well."""
        self._loop = asyncio.get_running_loop()
        for event in self._events.since():
            self._hear(event)
        self._events.listener = self._hear
        self._uplink.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What has been told until now reaches the disk; the tower gets it from the next agent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._events.listener = None
        await asyncio.to_thread(self._uplink.stop)

    def status(self) -> dict[str, Any]:
        """Of the uplink."""
        return self._uplink.status()

    async def _run(self) -> None:
        settings = self._uplink.settings
        never = asyncio.Event()
        series = states = self._clock.now()
        while True:
            await self._clock.wait(never, min(series, states))
            now = self._clock.now()
            if now >= series:
                series = now + settings.series_s
                await self._guarded("series", self._series)
            if now >= states:
                states = now + settings.snapshot_s
                for kind, ask in self._sources.states.items():
                    await self._guarded(kind, partial(self._state, kind, ask))

    async def _guarded(self, what: str, work: Ask) -> None:
        try:
            await work()
        except Exception as error:
            self._failed(f"uplink {what}", error)

    async def _series(self) -> None:
        sources, recorder = self._sources, self._recorder
        counted = await sources.tunnels()
        recorder.series("tunnel", figures.TUNNEL, figures.tunnels(counted, sources.keepalive))
        recorder.series("path", figures.PATH, figures.paths(await sources.paths()))
        carried = figures.accelerators(await sources.accelerators())
        recorder.series("accelerator", figures.ACCELERATOR, carried)

    async def _state(self, kind: str, ask: Ask) -> None:
        answer = await ask()
        if kind == "vpn":
            self._recorder.series("vpn", figures.VPN, figures.vpns(answer))
        self._recorder.snapshot(kind, self._sources.plan(), answer)

    def _hear(self, event: Event) -> None:
        self._recorder.event(event, unix_ns(datetime.fromisoformat(event.time)))

    def _tell(self, level: Level, subject: str, cause: str, details: dict[str, Any]) -> None:
        """From the uplink's thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(
                    lambda: self._events.add("uplink", subject, cause, level=level, **details)
                )


def of_agent(
    directory: Path, events: EventLog, status: Status, ask_status: Handler,
    keepalive: KeepaliveShell, relay: RelayService, vpn: VpnStatus,
    failed: Callable[[str, Exception], None],
) -> Teller:  # fmt: skip
    """The teller of an agent's parts. Raises UplinkError."""
    states = {
        "status": ask_status,
        "vpn": vpn.ask_vpn,
        "bgp": vpn.ask_bgp,
        "paths": relay.ask_paths,
        "accelerator": relay.ask_accelerator,
    }
    sources = Sources(
        plan=status.plan,
        tunnels=status.counters,
        keepalive=keepalive.status,
        accelerators=relay.counters,
        paths=partial(relay.ask_paths, {}),
        states={kind: partial(handler, {}) for kind, handler in states.items()},
    )
    return Teller(directory, events, sources, failed, Clock())
