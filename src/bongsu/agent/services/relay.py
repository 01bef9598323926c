"""The relay as a service: the data plane in the kernel, fed with paths and endpoints.

The plane carries packets without us: it stays when the agent ends, and the next one adopts it with its
sessions. What changes meanwhile (the best path to a PoP, an endpoint that died) is kept as the latest
state and pushed by the agent's one worker thread; what the kernel refused is tried again each second.
"""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bongsu.agent.control import RequestError
from bongsu.agent.events import EventLog
from bongsu.agent.relay import status
from bongsu.agent.relay.endpoints import Endpoints, Watched
from bongsu.agent.relay.mesh import MeshShell
from bongsu.agent.relay.repair import Hops, Repairing
from bongsu.agent.services.service import Request, Texts
from bongsu.plan.node import NodePlan
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RelayPlan
from bongsu.system import files
from bongsu.system.gre import links
from bongsu.system.relay import LiveEndpoint, RelayBackend, choose_relay, hosts
from bongsu.system.rtnl import Rtnl

RECORD = "relay.json"
"""In the state directory: the plan that stands in the kernel, and the paths in use."""
LESS = (
    "accelerators are carried by the kernel's NAT: straight ways between PoPs that all do so, no repair,"
    " no proof of clients, all of them to one endpoint"
)
"""What a relay without BPF is; see docs/accelerator.md."""
TURN_S = 1.0
"""How often sessions that were idle for too long are ended."""


class RelayService:
    """One node's relay. Belongs to the event loop's thread."""

    name = "relay"

    def __init__(
        self,
        state_dir: Path,
        events: EventLog,
        worker: ThreadPoolExecutor,
        opened: Callable[[], RelayBackend] = choose_relay,
    ) -> None:
        self._record = state_dir / RECORD
        self._repairing = Repairing(state_dir)
        self._events = events
        self._worker = worker
        self._opened = opened
        self._closed = False
        self._node = ""
        self._digest = ""
        self._secret: bytes | None = None
        self._machine: object = None
        """The machine's interfaces and addresses as the plane knows them."""
        self._paths: dict[int, int] = {}
        """To be pushed: next hop by destination."""
        self._live: dict[tuple[int, str], list[LiveEndpoint]] = {}
        """To be pushed: by accelerator and listener."""
        self._pushing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: asyncio.Task[None] | None = None
        self._failing: dict[str, str] = {}
        self.plan: RelayPlan | None = None
        self.plane: RelayBackend | None = None
        self.mesh = MeshShell(events, self._path)
        self.endpoints = Endpoints(events, self._endpoints)

    def owns(self, path: Path) -> bool:  # noqa: ARG002  it has no file in a bundle
        return False

    def wanted(self, plan: NodePlan) -> bool:
        return plan.relay is not None

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        """Nothing of it is a daemon's own language."""

    async def apply(self, request: Request) -> None:
        self._node = request.plan.node
        plan = request.plan.relay
        if plan is None:
            if await self._take_away():
                request.changed("took the relay away")
            return
        if self._closed:
            return
        secret = None if plan.key is None else request.secret(plan.key).encode()
        record = self._recorded()
        digest = _digest(plan, secret)
        known = self.plane is not None
        plane = self.plane or await self._call(self._opened)
        if not known:
            self._tell(plane)
        self.plane, self.plan, self._secret = plane, plan, secret
        self._machine = await self._call(_machine)
        await self._call(plane.apply, plan, secret)
        left = {int(to): int(hop) for to, hop in record.get("paths", {}).items()}
        self.mesh.follow(plan, secret, left)
        self._paths |= self.mesh.next_hops()
        if plane.name == "bpf":
            with self._told("repair"):
                await self._call(self._repairing.follow, plan, secret, plane)
        own = [item for item in plan.accelerators if item.egress_number == plan.number]
        self.endpoints.follow(own)
        if record.get("plan") != digest:
            request.changed("relay: loaded what differs" if known else "started the relay")
        self._digest = digest
        await self._push()
        if self._turns is None:
            self._turns = asyncio.ensure_future(self._keep_turning())

    async def stop(self) -> bool:
        """It relays on without us."""
        self._stop_tasks()
        plane, self.plane, self.plan = self.plane, None, None
        if plane is not None:
            async with self._pushing:
                with self._told("repair"):
                    await self._call(self._repairing.close, plane)
                await self._call(plane.detach)
        return False

    def close(self) -> None:
        self._closed = True

    def detach(self) -> None:
        self._stop_tasks()
        plane, self.plane, self.plan = self.plane, None, None
        if plane is not None:
            self._worker.submit(self._repairing.close, plane)
            self._worker.submit(plane.detach)

    def status(self) -> list[dict[str, Any]]:
        """It is no daemon."""
        return []

    def clean(self) -> None:
        if self._record.exists():
            self._opened().close()
            files.remove(self._record)

    async def counters(self) -> dict[str, Any]:
        """Of each accelerator, by its name; nothing while there is no plane."""
        plane = self.plane
        if plane is None:
            return {}
        return {name: asdict(each) for name, each in (await self._call(plane.counters)).items()}

    async def ask_accelerator(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The control socket's `accelerator`; with `sessions` each of them."""
        plan, plane, node = self.plan, self.plane, self._node
        if plan is None or plane is None:
            return {"node": node, "accelerators": [], "stray": None, "sessions": None}
        reading = await self._call(status.read, plane)
        repaired = await self._call(self._repairing.counters)
        told = status.accelerators(node, plan, reading, self.mesh, self.endpoints, repaired)
        sessions = status.sessions(reading) if request.get("sessions") else None
        return {"node": node, **told, "sessions": sessions}

    async def ask_paths(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The control socket's `paths`; `history` names a peer."""
        history = request.get("history")
        if history is not None and history not in self.mesh.names.values():
            known = ", ".join(sorted(self.mesh.names.values())) or "none"
            raise RequestError("malformed", f"there is no path to {history}; there are: {known}")
        return {"node": self._node, **status.paths(self._node, self.mesh, history)}

    async def _take_away(self) -> bool:
        self._stop_tasks()
        plane, self.plane, self.plan = self.plane, None, None
        if plane is None and not self._record.exists():
            return False
        async with self._pushing:
            plane = plane or await self._call(self._opened)
            with self._told("repair"):
                await self._call(self._repairing.close, plane)
            await self._call(plane.close)
        files.remove(self._record)
        return True

    def _tell(self, plane: RelayBackend) -> None:
        """Once, what an operator would look for in vain."""
        if plane.name == "kernel":
            self._events.add(
                "relay", "", f"{LESS} ({plane.reason})", level="warning", backend="kernel"
            )

    def _stop_tasks(self) -> None:
        self.mesh.close()
        self.endpoints.close()
        for task in (*self._tasks, *filter(None, [self._turns])):
            task.cancel()
        self._turns = None
        self._paths.clear()
        self._live.clear()

    async def _keep_turning(self) -> None:
        while True:
            await asyncio.sleep(TURN_S)
            plane = self.plane
            if plane is None:
                continue
            with self._told("expire"):
                await self._call(plane.expire)
            with self._told("repair"):
                await self._call(self._repairing.turn, self._hops(), plane)
            with self._told("interfaces"):
                await self._follow_machine(plane)
            await self._push()

    def _hops(self) -> dict[int, Hops]:
        """For the repair engine: the way to each PoP and a second one."""
        machine, now = self.mesh.machine, time.monotonic_ns()
        if machine is None:
            return {}
        return {
            number: Hops(path.next_hop, machine.second(number, now))
            for number, path in machine.paths().items()
        }

    async def _follow_machine(self, plane: RelayBackend) -> None:
        """An interface or an address that came later: the plane looks at where it is attached."""
        machine = await self._call(_machine)
        if machine != self._machine and self.plan is not None:
            await self._call(plane.apply, self.plan, self._secret)
            self._machine = machine

    def _path(self, destination: int, next_hop: int) -> None:
        self._paths[destination] = next_hop
        self._soon()

    def _endpoints(
        self, accelerator: AcceleratorPlan, listener: ListenerPlan, used: list[Watched]
    ) -> None:
        self._live[accelerator.number, listener.name] = [
            LiveEndpoint(one.plan.name, one.address, one.plan.weight)
            for one in used
            if one.address is not None and one.address.version == accelerator.off_address.version
        ]
        self._soon()

    def _soon(self) -> None:
        task = asyncio.ensure_future(self._push())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push(self) -> None:
        """Bring the plane to the latest state; what it refuses stays to be pushed."""
        async with self._pushing:
            plane = self.plane
            if plane is None:
                return
            moved = bool(self._paths)
            for destination, next_hop in list(self._paths.items()):
                with self._told(f"path {destination}"):
                    await self._call(plane.set_path, destination, next_hop)
                    if self._paths.get(destination) == next_hop:
                        del self._paths[destination]
            for key, live in list(self._live.items()):
                with self._told(f"endpoints {key[1]}"):
                    await self._call(plane.set_endpoints, *key, live)
                    if self._live.get(key) is live:
                        del self._live[key]
            if moved:
                with self._told("record"):
                    self._remember()
                with self._told("repair"):
                    await self._call(self._repairing.turn, self._hops(), plane)

    def _remember(self) -> None:
        hops = {str(to): hop for to, hop in self.mesh.next_hops().items()}
        text = json.dumps({"plan": self._digest, "paths": hops})
        files.write_atomic(self._record, text + "\n", 0o600)

    def _recorded(self) -> dict[str, Any]:
        try:
            found = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A failure is told once, and the rest goes on."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if self._failing.get(what) != text:
                self._failing[what] = text
                self._events.add("relay", what, f"not applied: {text}", level="error")
        else:
            self._failing.pop(what, None)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)


def _machine() -> object:
    """Which interfaces are there and up, and which addresses. Blocks."""
    kernel = Rtnl()
    try:
        up = {(link.index, link.name, link.up) for link in links.every(kernel)}
        return up, hosts.addresses(kernel)
    finally:
        kernel.close()


def _digest(plan: RelayPlan, secret: bytes | None) -> str:
    text = json.dumps(plan.model_dump(mode="json"), sort_keys=True)
    return hashlib.blake2b(text.encode(), key=(secret or b"")[:64], digest_size=16).hexdigest()
