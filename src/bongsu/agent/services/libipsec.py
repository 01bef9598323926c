"""ESP in user space, as a service: a charon with kernel-libipsec for each tunnel.

Each has its own TUN device, which takes the tunnel's name before anything is loaded; it ends with its
daemon, and so do the routes into it. What the far ends send to the well-known ports is led to the
daemons' own ones.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bongsu.agent.certificates import fingerprints
from bongsu.agent.events import EventLog
from bongsu.agent.services.service import Request, Texts, identity, meaning
from bongsu.agent.supervisor import Supervisor
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.libipsec.render import DIRECTORY, RUN_DIRECTORY, ports, tables
from bongsu.system import files
from bongsu.system.daemons.charon import Charon
from bongsu.system.daemons.vici import ViciError
from bongsu.system.ipsec import interfaces, order, redirect
from bongsu.system.ipsec.interfaces import InterfaceError
from bongsu.system.ipsec.redirect import Redirect
from bongsu.system.ipsec.state import IkeSa

PREFIX = "charon-"
"""Of the daemons' names, and so of their records in the state directory."""
KEYS = Path(f"{DIRECTORY}/private")


@dataclass
class _Run:
    plan: VpnTunnelPlan
    charon: Charon
    supervisor: Supervisor
    request: Request


class LibipsecService:
    """The charons of a node. Belongs to the event loop's thread."""

    name = "libipsec"

    def __init__(self, state_dir: Path, events: EventLog, worker: ThreadPoolExecutor) -> None:
        self._state_dir = state_dir
        self._events = events
        self._worker = worker
        self._runs: dict[str, _Run] = {}
        self._tables: dict[str, int] = {}
        """Of tunnels by policy, the routing table of each."""
        self._closed = False

    def owns(self, path: Path) -> bool:
        if path.parent == KEYS:
            return path.name.startswith("bongsu-") and path.suffix == ".pem"
        return path.parent == Path(DIRECTORY) and path.name.endswith(
            (".strongswan.conf", ".swanctl.conf")
        )

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:  # noqa: ARG002
        """What user space cannot do. ValueError."""
        policies = [tunnel.name for tunnel in plan.vpns if tunnel.binding is Binding.POLICY]
        if policies and len(policies) < len(plan.vpns):
            raise ValueError(
                f"{', '.join(policies)}: without the kernel's ESP, tunnels by policy and tunnels by"
                " route cannot be on one node; give them interfaces (binding: xfrm)"
            )

    async def apply(self, request: Request) -> None:
        plan = request.plan
        self._tables = tables(plan)
        await self._drop({tunnel.name for tunnel in plan.vpns}, request)
        await self._redirect(request)
        if not self._tables:
            await asyncio.get_running_loop().run_in_executor(self._worker, order.lead, [], ())
        for tunnel in plan.vpns:
            await self._tunnel(tunnel, request)

    async def stop(self) -> bool:
        found = {name: run.supervisor for name, run in self._runs.items()}
        found |= {name: self._supervisor(name) for name in self._recorded() if name not in found}
        stopped = [await supervisor.stop() for supervisor in found.values()]
        self._runs.clear()
        if files.remove(self._redirects):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._worker, _take_away, list(found))
        return any(stopped)

    def close(self) -> None:
        self._closed = True
        for run in self._runs.values():
            run.supervisor.close()

    def detach(self) -> None:
        for run in self._runs.values():
            run.supervisor.detach()

    def status(self) -> list[dict[str, Any]]:
        return [run.supervisor.status() for run in self._runs.values()]

    def lead(self, tunnels: Sequence[str]) -> bool:
        """Have the selectors of these tunnels, in this order, lead before others' of tunnels by
        policy; False if it was so. Blocks. NetlinkError."""
        plans = [run.plan for run in self._runs.values() if run.plan.binding is Binding.POLICY]
        families = {prefix.version for plan in plans for prefix in plan.remote_selectors}
        return order.lead([self._tables[name] for name in tunnels], sorted(families))

    def clean(self) -> None:
        _take_away(())
        interfaces.remove_all()
        directory = Path(RUN_DIRECTORY)
        if directory.is_dir():
            for path in directory.glob("*.vici"):
                path.unlink(missing_ok=True)
            directory.rmdir()

    def associations(self) -> dict[str, list[IkeSa] | None]:
        return {name: _ask(run.charon) for name, run in list(self._runs.items())}

    def initiate(self, tunnel: str, child: str) -> None:
        if tunnel in self._runs:
            self._runs[tunnel].charon.initiate(tunnel, child)

    def logs(self) -> dict[Path, str]:
        return {self._state_dir / f"{PREFIX}{name}.log": name for name in self._runs}

    async def _tunnel(self, tunnel: VpnTunnelPlan, request: Request) -> None:
        run = self._runs.get(tunnel.name)
        if run is None:
            charon = _charon(tunnel.name)
            run = _Run(tunnel, charon, self._supervisor(tunnel.name), request)
            self._runs[tunnel.name] = run
        run.plan, run.request = tunnel, request
        assert run.charon.settings is not None
        assert run.charon.connections is not None
        loaded: list[Any] = [meaning(request.texts[run.charon.settings])]
        loaded += [identity(path) for path in (run.charon.connections, *_keys(request.texts))]
        alone = request.plan.model_copy(update={"vpns": [tunnel]})
        loaded.append(await asyncio.to_thread(fingerprints, alone))
        what = await run.supervisor.ensure()
        before = run.supervisor.loaded
        if what != "started" and before and before[0] != loaded[0]:
            # Ports and plugins are read once.
            await run.supervisor.stop()
            what = await run.supervisor.ensure()
            request.changed(f"started {run.charon.name} again")
        elif what == "started":
            request.changed(f"started {run.charon.name}")
        elif before != loaded:
            renewed = bool(before) and before[-1] != loaded[-1]
            await asyncio.to_thread(lambda: run.charon.load(clear=renewed))
            request.changed(f"{run.charon.name}: loaded what differs")
        if what != "started":
            await self._build(run)
        if before != loaded or what == "started":
            run.supervisor.remember(loaded)

    def _supervisor(self, name: str) -> Supervisor:
        async def settle(pid: int) -> None:
            run = self._runs[name]
            loop = asyncio.get_running_loop()
            if run.plan.binding is not Binding.POLICY:
                await loop.run_in_executor(self._worker, interfaces.seat_tun, pid, name)
                await self._build(run)
            await asyncio.to_thread(run.charon.load)

        supervisor = Supervisor(_charon(name), self._state_dir, self._events, settle)
        if self._closed:
            supervisor.close()
        return supervisor

    async def _build(self, run: _Run) -> None:
        if run.plan.binding is Binding.POLICY:
            return
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(
            self._worker, lambda: interfaces.build(run.plan, tun=True)
        )
        if made:
            await loop.run_in_executor(self._worker, run.request.settle, run.plan.name)
            run.request.changed(f"built tunnel {run.plan.name}")

    async def _drop(self, wanted: set[str], request: Request) -> None:
        """End the daemons of tunnels that are no more, an earlier agent's among them."""
        loop = asyncio.get_running_loop()
        for name in sorted({*self._runs, *self._recorded()} - wanted):
            run = self._runs.pop(name, None)
            await (self._supervisor(name) if run is None else run.supervisor).stop()
            _charon(name).remove_run_files()
            await loop.run_in_executor(self._worker, interfaces.delete, name)
            request.changed(f"removed tunnel {name}")

    async def _redirect(self, request: Request) -> None:
        plan = request.plan
        own = ports(plan)
        wanted = [Redirect(t.local, t.remote, *own[t.name]) for t in plan.vpns]
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(self._worker, self._load_redirects, wanted):
            request.changed("led UDP 500 and 4500 to the tunnels' daemons")

    def _load_redirects(self, wanted: list[Redirect]) -> bool:
        record = self._redirects
        text = redirect.ruleset(wanted)
        stands = redirect.fingerprint()
        with_stands = f"{stands}\n{text}"
        try:
            if stands is not None and record.read_text() == with_stands:
                return False
        except OSError:
            pass
        redirect.load(wanted)
        files.write_atomic(record, f"{redirect.fingerprint()}\n{text}", 0o600)
        return True

    @property
    def _redirects(self) -> Path:
        """What the table of ports was made of; there while anything of this way is."""
        return self._state_dir / "redirects"

    def _recorded(self) -> list[str]:
        found = self._state_dir.glob(f"{PREFIX}*.json")
        return [path.name.removeprefix(PREFIX).removesuffix(".json") for path in found]


def _take_away(tunnels: Iterable[str]) -> None:
    """What these tunnels' daemons leave, and what led to them. Blocks. NetlinkError."""
    redirect.delete()
    order.lead([], ())
    for name in tunnels:
        interfaces.delete(name)
        _charon(name).remove_run_files()


def _charon(tunnel: str) -> Charon:
    base = f"{DIRECTORY}/{tunnel}"
    return Charon(
        f"{PREFIX}{tunnel}",
        Path(f"{base}.strongswan.conf"),
        Path(f"{base}.swanctl.conf"),
        Path(f"{RUN_DIRECTORY}/{tunnel}.vici"),
    )


def _keys(texts: Texts) -> Iterator[Path]:
    return iter(sorted(path for path in texts if path.parent == KEYS))


def _ask(charon: Charon) -> list[IkeSa] | None:
    try:
        return charon.associations()
    except (OSError, ViciError):
        return None


__all__ = ["InterfaceError", "LibipsecService"]
