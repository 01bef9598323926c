"""The IPsec tunnels of a node, looked at each second: one verdict each, and the lines that follow it.

What the IKE daemon holds, what its log says, what probes and BGP say become the evidence of one link
machine (bongsu.protocol.link). Down, a tunnel is closed to routing, so that its routes leave; up, it is
open again. A far end that gave up is called again, for strongSwan does not do so by itself once it was
refused. Every change is an event with its cause.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services.node import NodeServices
from bongsu.agent.vpn.address_guard import AddressGuard
from bongsu.agent.vpn.again import Again
from bongsu.agent.vpn.echo import Echo
from bongsu.agent.vpn.line import Line
from bongsu.agent.vpn.logs import Logs
from bongsu.agent.vpn.preference import Preference
from bongsu.agent.vpn.seen import evidence, probe
from bongsu.agent.vpn.takeover import Takeover
from bongsu.agent.vpn.watched import Watched
from bongsu.model.node import RoutingDaemon
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.link import Cause, Change, LinkMachine, Verdict
from bongsu.system.ipsec import interfaces, underlay
from bongsu.system.ipsec.state import IkeSa, IkeState

LOOK_S, HURRY_S = 1.0, 0.2
"""How often everything is looked at, and how often while a tunnel is being negotiated."""


class VpnWatch:
    """All tunnels of the node. Belongs to the event loop's thread."""

    def __init__(
        self,
        events: EventLog,
        services: NodeServices,
        worker: ThreadPoolExecutor,
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._events = events
        self._services = services
        self._worker = worker
        self._failed = failed
        self._plan: NodePlan | None = None
        self._takeover = Takeover(events, services, failed)
        self.preference = Preference(events, services, failed)
        self._addresses = AddressGuard(events, worker, failed)
        self._again = Again(services, failed)
        self._line = Line(events, worker, failed)
        self._logs = Logs()
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._run: asyncio.Task[None] | None = None
        self.watched: dict[str, Watched] = {}

    async def follow(self, plan: NodePlan, *, changed: bool = False) -> None:
        """Watch exactly this plan's tunnels, from now on; one whose ends stay keeps its history.

        changed: their daemons were given something else, so that those that are down are tried at once.
        """
        self._plan = plan
        loop = asyncio.get_running_loop()
        wanted = {tunnel.name: tunnel for tunnel in plan.vpns}
        for name in [n for n, w in self.watched.items() if _ends(w.plan) != _ends(wanted.get(n))]:
            self._drop(name)
        lines = await loop.run_in_executor(
            self._worker, lambda: {name: interfaces.line(name) for name in wanted}
        )
        now = time.monotonic_ns()
        for name, tunnel in wanted.items():
            if name not in self.watched:
                # Open by an earlier agent: it is taken for up until something else is seen.
                verdict = Verdict.UP if lines[name] else Verdict.DOWN
                machine = LinkMachine(now, verdict=verdict)
                self.watched[name] = Watched(tunnel, machine, time.monotonic())
            self._take(self.watched[name], tunnel)
            if changed:
                self.watched[name].mended()
        far_ends = {name: str(tunnel.remote) for name, tunnel in wanted.items()}
        self._logs.follow(self._services.ipsec.logs(), far_ends)
        if self.watched and self._run is None:
            self._run = asyncio.ensure_future(self._keep_looking())

    def routing_loaded(self) -> None:
        """Routing has been given its configuration."""
        self.preference.loaded()

    def close(self) -> None:
        """Watch nothing any more; lines stay as they are."""
        for task in (*self._tasks, *filter(None, [self._run])):
            task.cancel()
        self._run = None
        for name in list(self.watched):
            self._drop(name)
        self._logs.close()

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                self._failed("vpns", error)
            negotiated = any(
                not one.machine.verdict.carries and one.evidence.ike != IkeState.NONE
                for one in self.watched.values()
            )
            await asyncio.sleep(HURRY_S if negotiated else LOOK_S)

    async def look(self) -> None:
        """Take everything in. Whatever cannot be asked is told by `failed`, and the rest goes on."""
        if self._plan is None or not self.watched:
            return
        async with self._looking:
            self._logs.read(self.watched)
            associations, neighbors = await asyncio.gather(
                asyncio.to_thread(self._services.ipsec.associations),
                asyncio.to_thread(self._services.neighbors, self._plan),
            )
            loop = asyncio.get_running_loop()
            plans = [one.plan for one in self.watched.values()]
            refused = await loop.run_in_executor(self._worker, underlay.refusals, plans)
            there = await loop.run_in_executor(self._worker, interfaces.names)
            by_address = {neighbor.address: neighbor for neighbor in neighbors}
            for name, one in self.watched.items():
                one.neighbor = by_address.get(str(one.plan.peer_inside))
                self._note(one, associations.get(name))
                one.evidence = evidence(
                    one, self._plan, daemon=associations.get(name) is not None,
                    underlay=refused.get(name, ""), interface=name in there, dormant=self._dormant,
                )  # fmt: skip
            for one in list(self.watched.values()):
                await self._judge(one)
            in_order = [self.watched[t.name] for t in self._plan.vpns if t.name in self.watched]
            await self._line.order(self._services.ipsec, in_order)
            await self._take_over()
            await self.preference.look(self._plan, list(self.watched.values()))
            if self._plan.routing is RoutingDaemon.FRR:
                await self._addresses.look([one.plan for one in self.watched.values()])
            await self._again.look(self.watched.values())

    def _note(self, one: Watched, associations: list[IkeSa] | None) -> None:
        if associations is not None:
            one.note(associations, self._services.ipsec.children(one.plan))
        elif self._services.ipsec.user_space:
            one.lost()

    @property
    def _dormant(self) -> bool:
        """Whether routing goes by the operational state: FRR does, BIRD does not."""
        return self._plan is not None and self._plan.routing is RoutingDaemon.FRR

    async def _judge(self, one: Watched) -> None:
        now = time.monotonic_ns()
        change = one.machine.look(now, one.evidence)
        if change is not None:
            self._tell(one, change, now)
        elif (
            (cause := one.machine.cause) is not None
            and cause.code != one.told
            and one.machine.verdict is not Verdict.UP
        ):
            self._tell_cause(one, cause)
        await self._line.follow(one, dormant=self._dormant)

    def _tell(self, one: Watched, change: Change, now: int) -> None:
        verdict, cause = change.verdict, change.cause
        one.since = time.monotonic()
        if verdict is Verdict.DOWN:
            one.fell_ns = now
        elif change.before is Verdict.DOWN and one.echo is not None:
            one.echo.prober.forgive()
        text = cause.text if cause is not None else "it carries"
        one.told = cause.code if cause is not None else ""
        event = self._events.add(
            "link-state", one.plan.name, text,
            level="info" if verdict is Verdict.UP else "warning", state=verdict.value,
            before=change.before.value, layer=cause.layer.value if cause else None,
            code=cause.code if cause else None,
        )  # fmt: skip
        one.last_change = {"time": event.time, "state": verdict.value, "cause": text}

    def _tell_cause(self, one: Watched, cause: Cause) -> None:
        one.told = cause.code
        self._events.add(
            "link-state", one.plan.name, cause.text, level="warning",
            state=one.machine.verdict.value, layer=cause.layer.value, code=cause.code,
        )  # fmt: skip

    def _take(self, one: Watched, plan: VpnTunnelPlan) -> None:
        """The plan may be another one: its probes are."""
        changed = one.echo is None or one.echo.plan.probe != plan.probe
        one.plan = plan
        if not changed:
            return
        if one.echo is not None:
            one.echo.close()
            one.echo = None
        if plan.probe is not None and plan.peer_inside is not None:
            one.echo = Echo(plan, lambda: self._probe_says(plan.name))
            one.echo.start()

    def _probe_says(self, name: str) -> None:
        """Not to wait for the next second: this is what probes are for."""
        task = asyncio.ensure_future(self._judge_probe(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge_probe(self, name: str) -> None:
        one = self.watched.get(name)
        if one is None or one.echo is None:
            return
        one.evidence = replace(one.evidence, probe=probe(one, dormant=self._dormant))
        await self._judge(one)
        await self._take_over()

    async def _take_over(self) -> None:
        if self._plan is not None:
            verdicts = {name: one.machine.verdict for name, one in self.watched.items()}
            await self._takeover.look(self._plan, verdicts)

    def _drop(self, name: str) -> None:
        one = self.watched.pop(name)
        if one.echo is not None:
            one.echo.close()


def _ends(plan: VpnTunnelPlan | None) -> tuple[Any, ...] | None:
    return None if plan is None else (plan.name, plan.local, plan.remote, plan.inside)
