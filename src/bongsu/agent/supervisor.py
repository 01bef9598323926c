"""A daemon that dies comes back, and a new agent takes over what an earlier one left running.

The first restart is immediate; if the daemon dies again soon the wait doubles from 0.2 s to 5 s, and
30 s of life forgive everything. A daemon that lives but has stopped answering is ended and comes back
the same way, and never does a second one start beside it. A process is known by pid and start time
and ended through a pidfd, so that nothing is ever killed by name.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bongsu.agent.events import EventLog
from bongsu.system import files
from bongsu.system.run import Process, RunError, is_same_process, kill_exact, start_time

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.2, 5.0
FORGIVEN_AFTER_S = 30.0
READY_WITHIN_S = 15.0
READY_POLL_S = 0.005
STOP_GRACE_S = 3.0
LIVENESS_S = 3.0
LIVENESS_MISSES = 5
"""Questions in a row without an answer, LIVENESS_S apart, until a daemon is taken to hang."""
LOG_TAIL_LINES = 5
LOG_BOUND = 1024 * 1024
"""Bytes of a daemon's standard error that are kept, and once more as much of those before."""


class Daemon(Protocol):
    """What the supervisor has to know of a daemon."""

    @property
    def name(self) -> str:
        """As events and files call it."""

    @property
    def unit(self) -> str:
        """What starts it where bongsu does not."""

    def start(self, log: Path) -> Process:
        """Start it in the foreground. RunError, OSError."""

    def answers(self) -> bool:
        """Whether it is up. Never raises."""

    def prioritise(self, pid: int) -> str:
        """Set its scheduling; returns what it got."""


class NotReadyError(Exception):
    """A daemon was started and does not answer."""


@dataclass
class _Running:
    pid: int
    started: int
    pidfd: int
    process: Process | None
    """None: started by an earlier agent, so its exit status is not ours to see."""
    since: float
    scheduling: str
    settled: bool = False
    """Whether it has what it needs at its start."""


class Supervisor:
    """Keeps one daemon running. All methods belong to the event loop's thread."""

    def __init__(
        self,
        daemon: Daemon,
        state_dir: Path,
        events: EventLog,
        settle: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """`settle`: what it needs at each start once it answers, given its pid; as `ensure` raises."""
        self._daemon = daemon
        self._settle = settle
        self._events = events
        self._record = state_dir / f"{daemon.name}.json"
        self._log = state_dir / f"{daemon.name}.log"
        self._running: _Running | None = None
        self._wanted = False
        self._backoff_s = 0.0
        self._again: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        # Held while a daemon is started or ended: there is never a second one beside the first.
        self._one = asyncio.Lock()
        self._closed = False
        self.restarts = 0
        self.loaded: Any = None
        """What the caller says the daemon has loaded; survives the agent."""

    @property
    def running(self) -> bool:
        return self._running is not None

    @property
    def process(self) -> int | None:
        """Its pid, once it answers and has what it needs; None before, and while it does not run."""
        running = self._running
        return running.pid if running is not None and running.settled else None

    async def ensure(self) -> str:
        """Have it running and answering: `running`, `adopted` or `started`.

        Raises RunError, OSError or NotReadyError.
        """
        async with self._one:
            if self._closed:
                raise NotReadyError(f"the agent is stopping: no {self._daemon.name} is started")
            self._wanted = True
            if self._running is not None:
                return "running"
            if await self._adopt():
                return "adopted"
            if await asyncio.to_thread(self._daemon.answers):
                raise NotReadyError(
                    f"a {self._daemon.name} that bongsu did not start is running here;"
                    f" stop it (systemctl disable --now {self._daemon.unit})"
                )
            await self._start()
            return "started"

    def close(self) -> None:
        """Start nothing from now on: whoever waits in `ensure` is refused. `stop` and `detach` work."""
        self._closed = True
        self._give_up()

    def remember(self, loaded: Any) -> None:
        """Record what the daemon has loaded (JSON value), for the next agent."""
        self.loaded = loaded
        self._save()

    async def stop(self) -> bool:
        """Stop it for good, answering or not; False if it did not run. Raises RunError.

        An earlier agent's is found by its record and stopped, too.
        """
        self._give_up()
        async with self._one:
            running = self._running
            if running is not None:
                self._forget(running)
                if running.process is not None:
                    await asyncio.to_thread(running.process.terminate, STOP_GRACE_S)
                    stopped = True
                else:
                    stopped = await self._kill(running.pid, running.started)
            else:
                record = self._recorded()
                stopped = record is not None and await self._kill(record[0], record[1])
            files.remove(self._record)
        if stopped:
            self._events.add("daemon", self._daemon.name, "stopped by the agent", state="down")
        return stopped

    def status(self) -> dict[str, Any]:
        """For people and programs: pid, uptime, restarts, scheduling."""
        running = self._running
        return {
            "name": self._daemon.name,
            "running": running is not None,
            "pid": running.pid if running else None,
            "uptime_s": round(time.monotonic() - running.since, 3) if running else None,
            "restarts": self.restarts,
            "scheduling": running.scheduling if running else None,
            "adopted": running is not None and running.process is None,
        }

    def detach(self) -> None:
        """Leave the daemon running and stop watching it."""
        self._give_up()
        if self._running is not None:
            self._forget(self._running)

    def _give_up(self) -> None:
        self._wanted = False
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _recorded(self) -> tuple[int, int, Any] | None:
        """Pid, start time and what was loaded, of the daemon that was started last."""
        try:
            record = json.loads(self._record.read_text())
            return int(record["pid"]), int(record["start_time"]), record.get("loaded")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    async def _adopt(self) -> bool:
        """Watch the recorded one if it lives and answers; one that lives and does not is ended."""
        record = self._recorded()
        if record is None or not is_same_process(record[0], record[1]):
            return False
        pid, started, loaded = record
        if not await self._answers(lambda: is_same_process(pid, started)):
            self._refuse_unwanted()
            if is_same_process(pid, started):
                self._events.add(
                    "daemon", self._daemon.name,
                    f"found running, but silent for {READY_WITHIN_S:g} s: ended",
                    level="error", state="down", pid=pid,
                )  # fmt: skip
                await self._kill(pid, started)
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        if not is_same_process(pid, started):
            os.close(pidfd)
            return False
        self.loaded = loaded
        # Its true age: start time is in clock ticks since boot, which CLOCK_MONOTONIC counts too.
        since = started / os.sysconf("SC_CLK_TCK")
        scheduling = self._daemon.prioritise(pid)
        running = _Running(pid, started, pidfd, None, since, scheduling, settled=True)
        self._watch(running)
        self._feel_pulse(running)
        self._events.add("daemon", self._daemon.name, "found running", state="up", pid=pid)
        return True

    async def _answers(self, lives: Callable[[], bool]) -> bool:
        """Wait READY_WITHIN_S for an answer, as long as it lives and is wanted."""
        deadline = time.monotonic() + READY_WITHIN_S
        while self._wanted and lives():
            if await asyncio.to_thread(self._daemon.answers):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(READY_POLL_S)
        return False

    def _refuse_unwanted(self) -> None:
        if not self._wanted:
            raise NotReadyError(f"{self._daemon.name} is not wanted any more")

    async def _kill(self, pid: int, started: int) -> bool:
        return await asyncio.to_thread(kill_exact, pid, started, STOP_GRACE_S)

    async def _start(self) -> None:
        self._bound_log()
        began = time.monotonic()
        process = self._daemon.start(self._log)
        pidfd = os.dup(process.pidfd)
        started = start_time(process.pid) or process.start_time
        scheduling = self._daemon.prioritise(process.pid)
        running = _Running(process.pid, started, pidfd, process, began, scheduling)
        self._watch(running)
        self._save()
        if not await self._answers(lambda: self._running is running):
            self._refuse_unwanted()
            if self._running is not running:
                raise NotReadyError(f"{self._daemon.name} ended at once: {self._tail()}")
            await self._kill(running.pid, running.started)
            # Its end is noticed as any other, and with it comes the next try.
            while self._running is running:
                await asyncio.sleep(READY_POLL_S)
            raise NotReadyError(f"{self._daemon.name} does not answer: {self._tail()}")
        await self._settled(running)
        # Once more: threads that it started before the first time have not inherited it.
        running.scheduling = self._daemon.prioritise(process.pid)
        self._feel_pulse(running)
        took = round((time.monotonic() - began) * 1000, 1)
        self._events.add(
            "daemon", self._daemon.name, "started", state="up", pid=process.pid, ready_ms=took,
            scheduling=running.scheduling,
        )  # fmt: skip

    async def _settled(self, running: _Running) -> None:
        """Without what it needs it is not started: it is ended, and the next try makes it anew."""
        try:
            if self._settle is not None:
                await self._settle(running.pid)
            running.settled = True
        except BaseException:
            await self._kill(running.pid, running.started)
            while self._running is running:
                await asyncio.sleep(READY_POLL_S)
            raise

    def _watch(self, running: _Running) -> None:
        self._running = running
        asyncio.get_running_loop().add_reader(running.pidfd, self._ended, running)

    def _feel_pulse(self, running: _Running) -> None:
        self._pulse = asyncio.ensure_future(self._look_for_life(running))

    async def _look_for_life(self, running: _Running) -> None:
        missed = 0
        while True:
            await asyncio.sleep(LIVENESS_S)
            self._bound_log()
            # A thread may come with a new configuration: BFD's does.
            running.scheduling = self._daemon.prioritise(running.pid)
            missed = 0 if await asyncio.to_thread(self._daemon.answers) else missed + 1
            if missed < LIVENESS_MISSES:
                continue
            self._events.add(
                "daemon", self._daemon.name, f"lives, but {missed} questions went unanswered: ended",
                level="error", state="down", pid=running.pid,
            )  # fmt: skip
            missed = 0
            try:
                # _ended sees it and starts the next one.
                await self._kill(running.pid, running.started)
            except (RunError, OSError) as error:
                self._events.add("daemon", self._daemon.name, str(error), level="error")

    def _forget(self, running: _Running) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        asyncio.get_running_loop().remove_reader(running.pidfd)
        os.close(running.pidfd)
        self._running = None

    def _ended(self, running: _Running) -> None:
        self._forget(running)
        status = "unknown status" if running.process is None else _says(running.process.wait())
        lived = time.monotonic() - running.since
        if lived >= FORGIVEN_AFTER_S:
            self._backoff_s = 0.0
        wait_s = self._backoff_s
        self._backoff_s = min(max(BACKOFF_FIRST_S, 2 * wait_s), BACKOFF_MOST_S)
        self._events.add(
            "daemon", self._daemon.name, f"ended: {status}", level="error", state="down",
            pid=running.pid, lived_s=round(lived, 3), again_in_s=wait_s, stderr=self._tail(),
        )  # fmt: skip
        if self._wanted and self._again is None:
            self._again = asyncio.ensure_future(self._restart(wait_s))

    async def _restart(self, wait_s: float) -> None:
        while True:
            await asyncio.sleep(wait_s)
            async with self._one:
                if self._running is not None:
                    break
                self.restarts += 1
                try:
                    await self._start()
                    break
                except Exception as error:
                    # Whatever it is: nobody else would start the daemon.
                    self._events.add("daemon", self._daemon.name, str(error), level="error")
                # Also after an end during _start: _ended saw this task and left the retry to it.
                wait_s = max(self._backoff_s, BACKOFF_FIRST_S)
        self._again = None

    def _bound_log(self) -> None:
        """The daemon keeps its file open, to append to: what is in it goes elsewhere, not the file."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > LOG_BOUND:
                shutil.copyfile(self._log, self._log.with_name(self._log.name + ".1"))
                os.truncate(self._log, 0)

    def _save(self) -> None:
        if self._running is not None:
            record = {
                "pid": self._running.pid,
                "start_time": self._running.started,
                "loaded": self.loaded,
            }
            files.write_atomic(self._record, json.dumps(record), 0o600)

    def _tail(self) -> str:
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
            return "\n".join(lines[-LOG_TAIL_LINES:])
        return ""


def _says(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
