"""The agent of one node: a bundle applied, daemons supervised, tunnels watched, questions answered.

It is the same program on a cloud VM and in the lab. When it ends by SIGTERM it stops the routing daemons
first, so that announcements are withdrawn before anything else changes, then the IKE daemons, and leaves
tunnels and filters as they are: the next agent finds them and no packet notices. With `purge` it takes
them away too. When it is killed, its daemons go on, and the next agent adopts them. At SIGHUP it reads
its bundle again.

Nothing that fails while it runs ends it: a failure becomes an event, and the next turn tries again.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bongsu.agent import notify
from bongsu.agent.apply import Applier, ApplyError
from bongsu.agent.control import ControlServer, RequestError
from bongsu.agent.events import EventLog
from bongsu.agent.keepalive import KeepaliveShell
from bongsu.agent.keepalive_debug import KeepaliveDebug
from bongsu.agent.netlog import NetLog
from bongsu.agent.recursion import RecursionGuard
from bongsu.agent.services.node import NodeServices
from bongsu.agent.sessions import SessionWatch
from bongsu.agent.status import Status
from bongsu.agent.vpn.status import VpnStatus
from bongsu.agent.vpn.watch import VpnWatch
from bongsu.system import files
from bongsu.system.agent_client import SOCKET_NAME
from bongsu.system.gre.base import GreBackend

if TYPE_CHECKING:
    from bongsu.agent.uplink.teller import Teller

READY_NAME = "ready"
STATE_NAMES = (
    SOCKET_NAME, READY_NAME, "agent.log", "agent.log.1", "nftables.json", "redirects",
    "frr-loaded.conf", "pluto-loaded.conf", "relay.json",
    "relay-repair.epoch",
)  # fmt: skip
STATE_PATTERNS = tuple(
    f"{daemon}{end}"
    for daemon in ("bird", "zebra", "staticd", "bgpd", "bfdd", "charon", "charon-*", "pluto")
    for end in (".log", ".log.1", ".json")
)
"""Everything that is ever made in the state directory, but for the lock, which goes last."""
LOCK_NAME = "agent.lock"
REFRESH_S = 1.0
"""How often the tunnels' interfaces follow the path MTU, and BIRD's sessions are looked at."""


class AgentBusyError(Exception):
    """Another agent works in this state directory."""


@dataclass(frozen=True)
class Options:
    """How an agent is started."""

    bundle: Path
    state_dir: Path = Path("/run/bongsu")
    purge: bool = False
    """Take tunnels, rules and filters away at the end."""
    ready_fd: int | None = None
    """Gets one line, `ready`, once the bundle is applied and BIRD is up; closed at the end."""
    log_stream: TextIO | None = None
    relay: str | None = None
    """What carries accelerators, `bpf` or `kernel`; None: by probing."""
    uplink: Path | None = None
    """The directory of this node's uplink, if there is a tower to tell things to."""


class Agent:
    """One run of the agent. `choose` finds the GRE backend and is called at most once."""

    def __init__(self, options: Options, choose: Callable[[], GreBackend]) -> None:
        self._options = options
        state_dir = options.state_dir
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(state_dir / LOCK_NAME)
        self.events = EventLog(state_dir / "agent.log", options.log_stream)
        # One thread: two netlink changes never run side by side, whoever asks for them.
        self._worker = ThreadPoolExecutor(1, "system")
        self._choose = choose
        self._backend: GreBackend | None = None
        self._services = NodeServices(state_dir, self.events, self._worker, options.relay)
        self._keepalive = KeepaliveShell(self.events, self._set_line)
        self._debug = KeepaliveDebug(self._keepalive)
        self._vpn = VpnWatch(self.events, self._services, self._worker, self._failed)
        self._applier = Applier(
            state_dir, self.events, self._worker, self._chosen, self._services, self._keepalive,
            self._vpn,
        )  # fmt: skip
        self._status = Status(self._applier, self._services, self._keepalive, self._worker)
        self._vpn_status = VpnStatus(self._applier, self._services, self._vpn)
        self._watch = SessionWatch(self.events)
        self._recursion = RecursionGuard(self.events)
        self._netlog = NetLog(self.events)
        self._applying = asyncio.Lock()
        self._stopping = self._hung_up = False
        self._wake = asyncio.Event()
        self._failing: dict[str, str] = {}
        """What failed at the last look, so that it is told once and not every second."""
        self._purge = options.purge
        self._teller: Teller | None = None
        self._control = ControlServer(
            state_dir / SOCKET_NAME,
            {
                "status": self._ask_status,
                "counters": self._ask_counters,
                "events": self._ask_events,
                "keepalive_debug": self._debug.ask,
                "vpn": self._vpn_status.ask_vpn,
                "bgp": self._vpn_status.ask_bgp,
                "accelerator": self._services.relay.ask_accelerator,
                "paths": self._services.relay.ask_paths,
                "apply": self._ask_apply,
                "stop": self._ask_stop,
            },
            lambda request, error: self._failed(f"request {request}", error),
        )

    async def run(self) -> None:
        """Apply, serve until SIGTERM, SIGINT or `stop`, clean up. Raises ApplyError at the start.

        And at the end, if not everything could be taken away.
        """
        loop = asyncio.get_running_loop()
        ready = self._options.state_dir / READY_NAME
        files.remove(ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self.events.add("agent", "", "started", pid=os.getpid())
        try:
            await self._control.start()
            self._netlog.start()
            try:
                await self._apply(self._options.bundle)
            except ApplyError:
                # Told to end in the middle of it: that is no failure.
                if not self._stopping:
                    raise
            await self._tell_tower()
            await self._until_stopped()
            self.events.add("agent", "", "stopping", purge=self._purge)
            # An apply that is under way ends first, or it would build what is being taken away.
            async with self._applying:
                self._vpn.close()
                await self._services.stop()
                if self._purge:
                    self._keepalive.close()
                    await self._applier.purge()
        finally:
            self._netlog.close()
            self._debug.close()
            self._keepalive.close()
            self._vpn.close()
            self._services.detach()
            self._control.close()
            files.remove(ready)
            self.events.add("agent", "", "stopped")
            # Also one that never got so far has something to tell; the next agent sends it.
            await self._tell_tower()
            if self._teller is not None:
                await self._teller.stop()
            self._worker.shutdown()
            if self._purge:
                self._remove_state()
            os.close(self._lock)

    async def _tell_tower(self) -> None:
        """Begin to tell the tower, if there is to be one. Without one the node is what it was."""
        directory = self._options.uplink
        if directory is None or self._teller is not None:
            return
        try:
            # Late, and aside: no tunnel waits for what speaks to a tower.
            teller = await asyncio.to_thread(import_module, "bongsu.agent.uplink.teller")
            self._teller = teller.of_agent(
                directory, self.events, self._status, self._ask_status, self._keepalive,
                self._services.relay, self._vpn_status, self._failed,
            )  # fmt: skip
            self._teller.start()
        except Exception as error:
            self._failed("uplink", error)

    def _end(self) -> None:
        self._stopping = True
        # From here on no apply and no restart brings a daemon up that nobody would stop.
        self._services.close()
        self._wake.set()

    def _hang_up(self) -> None:
        self._hung_up = True
        self._wake.set()

    async def _until_stopped(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            if self._hung_up:
                self._hung_up = False
                await self._apply_again()
            elif not self._applying.locked():
                await self._renew()
                if self._backend is not None:
                    await self._look(self._backend)

    async def _apply_again(self) -> None:
        self.events.add("agent", "", "SIGHUP: the bundle is read again")
        try:
            await self._apply(self._options.bundle)
        except ApplyError as error:
            self.events.add("agent", "", f"goes on as it was: {error}", level="error")
        except Exception as error:
            self._failed("apply", error)

    async def _renew(self) -> None:
        """Certificates or their keys are others than before: the daemons are given them."""
        if not (changed := self._applier.certificates.changed()):
            return
        self.events.add("certificate", ", ".join(changed), "changed on this node: read again")
        try:
            await self._apply(None)
        except ApplyError as error:
            self.events.add("certificate", ", ".join(changed), f"not taken: {error}", level="error")
        except Exception as error:
            self._failed("certificate", error)

    async def _look(self, backend: GreBackend) -> None:
        """Sessions, lines that could not be set, the path MTU. Whatever fails, the agent goes on."""
        loop = asyncio.get_running_loop()
        try:
            self._watch.look(*await asyncio.to_thread(self._status.sessions))
            self._failing.pop("sessions", None)
        except Exception as error:
            self._failed("sessions", error)
        self._keepalive.retry()
        try:
            await self._recursion.look(backend, self._worker)
            self._failing.pop("recursion", None)
        except Exception as error:
            self._failed("recursion", error)
        try:
            changed = await loop.run_in_executor(self._worker, backend.refresh)
            self._failing.pop("path-mtu", None)
        except Exception as error:
            self._failed("path-mtu", error)
            return
        for name, mtu in changed.items():
            self.events.add("path-mtu", name, "the underlay's path changed", mtu=mtu)

    def _failed(self, kind: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if self._failing.get(kind) == text:
            return
        self._failing[kind] = text
        where = traceback.extract_tb(error.__traceback__)[-1:]
        self.events.add(
            kind, "", text, level="error",
            at=[f"{Path(frame.filename).name}:{frame.lineno}" for frame in where],
        )  # fmt: skip

    def _remove_state(self) -> None:
        self.events.close_file()
        directory = self._options.state_dir
        for name in STATE_NAMES:
            files.remove(directory / name)
        for pattern in STATE_PATTERNS:
            for path in directory.glob(pattern):
                files.remove(path)
        files.remove(directory / LOCK_NAME)
        with contextlib.suppress(OSError):
            directory.rmdir()

    async def _apply(self, directory: Path | None) -> dict[str, Any]:
        """The bundle in there; without one, that in force."""
        async with self._applying:
            if self._stopping:
                raise ApplyError("verify", "the agent is stopping", changed=False)
            began = time.monotonic()
            report = await (self._applier.apply(directory) if directory else self._applier.again())
            if (bundle := self._applier.bundle) is not None:
                names = [each.name for each in bundle.plan.interfaces]
                names += [each.name for each in bundle.plan.tunnels]
                self._netlog.follow(names + [each.name for each in bundle.plan.vpns])
        took = round((time.monotonic() - began) * 1000, 1)
        self.events.add(
            "applied", report.plan, f"{len(report.changes)} changes", bundle=report.bundle,
            duration_ms=took,
        )  # fmt: skip
        self._ready(report.plan)
        return {**asdict(report), "ms": took}

    def _ready(self, plan: str) -> None:
        text = json.dumps({"plan": plan, "pid": os.getpid(), "monotonic_ns": time.monotonic_ns()})
        files.write_atomic(self._options.state_dir / READY_NAME, text + "\n", 0o600)
        notify.ready(self._options.ready_fd)

    def _chosen(self) -> GreBackend:
        if self._backend is None:
            self._backend = self._choose()
            self._status.backend = self._backend
        return self._backend

    async def _set_line(self, name: str, up: bool) -> None:
        backend = self._backend
        if backend is None:
            return
        # Whatever it raises is told, and tried again, by the keepalives.
        await asyncio.get_running_loop().run_in_executor(self._worker, backend.set_line, name, up)

    async def _ask_status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        uplink = None if self._teller is None else self._teller.status()
        return {**await self._status.full(), "uplink": uplink}

    async def _ask_counters(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return await self._status.counters()

    async def _ask_events(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        since, limit = request.get("since", 0), request.get("limit", 100)
        if not isinstance(since, int) or not isinstance(limit, int) or limit < 1:
            raise RequestError("malformed", "`since` and `limit` are numbers")
        return [asdict(event) for event in self.events.since(since, limit)]

    async def _ask_apply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        directory = request.get("bundle")
        if not isinstance(directory, str) or not directory.startswith("/"):
            raise RequestError("malformed", "`bundle` is the absolute path of a directory")
        try:
            return await self._apply(Path(directory))
        except ApplyError as error:
            kind = "apply-failed" if error.changed else "refused"
            raise RequestError(kind, str(error)) from error

    async def _ask_stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._purge = self._purge or request.get("purge") is True
        # The answer goes out first: the loop runs the waiter in its next turn at the earliest.
        self._end()
        return {"purge": self._purge}


def _lock(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except OSError as error:
            os.close(fd)
            raise AgentBusyError(f"another agent works in {path.parent}") from error
        # Removed by an agent that purged and ended between the two calls.
        os.close(fd)
