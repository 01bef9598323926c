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
from dataclasses import dataclass, field, replace
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services.node import NodeServices
from bongsu.agent.vpn.address_guard import AddressGuard
from bongsu.agent.vpn.echo import Echo
from bongsu.agent.vpn.tail import Tail
from bongsu.agent.vpn.takeover import Takeover
from bongsu.model.node import RoutingDaemon
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.link import Bgp, Cause, Change, Evidence, LinkMachine, Probe, Verdict
from bongsu.protocol.link.attribution import Attribution
from bongsu.protocol.link.diagnosis import Diagnosis
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.ipsec import interfaces, underlay
from bongsu.system.ipsec.state import IkeSa, IkeState, best

LOOK_S, HURRY_S = 1.0, 0.2
"""How often everything is looked at, and how often while a tunnel is being negotiated."""
AGAIN_FIRST_S, AGAIN_MOST_S = 3.0, 60.0
"""How long a tunnel that nobody negotiates waits until it is begun again: doubled each time."""
ESP_S = 10.0
"""How long the second half of a negotiation may take before it is begun again."""


@dataclass
class Watched:
    """One tunnel, and what is known of it."""

    plan: VpnTunnelPlan
    machine: LinkMachine
    since: float
    """CLOCK_MONOTONIC: when the verdict last changed."""
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    association: IkeSa | None = None
    neighbor: BgpNeighbor | None = None
    echo: Echo | None = None
    evidence: Evidence = field(default_factory=Evidence)
    told: str = ""
    """The cause that was told last, its code."""
    last_change: dict[str, Any] | None = None
    rekeys: int = 0
    """ESP associations after the first, while the tunnel stood."""
    fell_ns: int = 0
    heard_ns: int = 0
    """When something of IKE last came from the far end."""
    wait_s: float = AGAIN_FIRST_S
    again_at: float = 0.0


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
        self._addresses = AddressGuard(events, worker, failed)
        self._tails: dict[str, tuple[Tail, str]] = {}
        self._attribution = Attribution({})
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._run: asyncio.Task[None] | None = None
        self.watched: dict[str, Watched] = {}

    async def follow(self, plan: NodePlan) -> None:
        """Watch exactly this plan's tunnels, from now on; one whose ends stay keeps its history."""
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
        self._attribution = Attribution({name: str(t.remote) for name, t in wanted.items()})
        self._follow_logs()
        if self.watched and self._run is None:
            self._run = asyncio.ensure_future(self._keep_looking())

    def close(self) -> None:
        """Watch nothing any more; lines stay as they are."""
        for task in (*self._tasks, *filter(None, [self._run])):
            task.cancel()
        self._run = None
        for name in list(self.watched):
            self._drop(name)
        self._tails.clear()

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
            self._read_logs()
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
                one.evidence = self._evidence(one, associations.get(name), refused.get(name, ""),
                                              name in there)  # fmt: skip
            for one in list(self.watched.values()):
                await self._judge(one)
            await self._take_over()
            if self._plan.routing is RoutingDaemon.FRR:
                await self._addresses.look([one.plan for one in self.watched.values()])
            await self._again()

    def _note(self, one: Watched, associations: list[IkeSa] | None) -> None:
        """What is another one than at the last look."""
        if associations is None:
            return
        before, now = one.association, best(associations)
        one.association = now
        if now is None or not now.esp:
            return
        one.diagnosis.stands()
        one.wait_s = AGAIN_FIRST_S
        if before is None or not before.esp:
            if one.echo is not None:
                one.echo.begin()
            return
        fresh = {sa.id for sa in now.esp} - {sa.id for sa in before.esp}
        if fresh:
            one.rekeys += 1
        if now.id != before.id or fresh:
            # Somebody answered: keys are agreed by two.
            one.heard_ns = time.monotonic_ns()

    def _evidence(
        self, one: Watched, associations: list[IkeSa] | None, refused: str, there: bool
    ) -> Evidence:
        association = one.association
        answers = associations is not None
        carried = association is not None and bool(association.esp)
        if not answers and self._services.ipsec.user_space:
            association, carried = None, False
            one.association = None
        state = association.state if association is not None else IkeState.NONE
        plan = one.plan
        has_bgp = self._plan is not None and any(
            peer.tunnel == plan.name for peer in self._plan.cloud_peers
        )
        neighbor = one.neighbor
        bgp = None
        if has_bgp:
            bgp = Bgp(neighbor.state, neighbor.received) if neighbor else Bgp("not there")
        return Evidence(
            underlay=refused,
            daemon=answers,
            ike=state.value,
            esp=carried,
            unanswered=one.diagnosis.unanswered,
            reason=one.diagnosis.reason,
            probe=self._probe(one),
            bgp=bgp,
            interface=there or plan.binding is Binding.POLICY,
        )

    def _probe(self, one: Watched) -> Probe | None:
        if one.echo is None:
            return None
        if one.machine.verdict is not Verdict.DOWN or self._dormant:
            return one.echo.prober.evidence(time.monotonic_ns())
        if one.machine.cause is not None and one.machine.cause.code == "probe":
            # Closed, the interface sends no probe. Once the far end is heard it is tried again;
            # if nothing comes through all the same, it falls again, and for longer.
            if one.heard_ns <= one.fell_ns:
                misses = one.echo.prober.misses
                return Probe(misses, misses, True)
            one.echo.begin()
        return None

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
        if one.plan.binding is Binding.POLICY:
            return
        loop = asyncio.get_running_loop()
        up = one.machine.verdict.carries
        try:
            done = await loop.run_in_executor(
                self._worker,
                lambda: interfaces.set_line(one.plan.name, up, dormant=self._dormant),
            )
        except Exception as error:
            self._failed(f"line of {one.plan.name}", error)
            return
        if done:
            state = "open" if up else "closed"
            self._events.add(
                "carrier", one.plan.name, f"{state} to routing", state="up" if up else "down"
            )

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

    async def _again(self) -> None:
        """Begin anew what nobody negotiates: refused once, strongSwan waits for somebody to ask."""
        now = time.monotonic()
        for name, one in list(self.watched.items()):
            sa = one.association
            idle = sa is None or (sa.state is IkeState.ESTABLISHED and not sa.esp)
            if one.plan.start != "initiate" or not idle or not one.evidence.daemon:
                one.again_at = 0.0
                continue
            if not one.again_at:
                # With IKE up, ESP is being negotiated: asked too soon, a slow end makes two of it.
                one.again_at = now + (one.wait_s if sa is None else max(one.wait_s, ESP_S))
            if now < one.again_at:
                continue
            one.again_at, one.wait_s = 0.0, min(2 * one.wait_s, AGAIN_MOST_S)
            try:
                await asyncio.to_thread(self._services.ipsec.initiate, name)
            except Exception as error:
                self._failed(f"initiate {name}", error)

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
        one.evidence = replace(one.evidence, probe=self._probe(one))
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

    def _follow_logs(self) -> None:
        wanted = {str(path): (path, tunnel) for path, tunnel in self._services.ipsec.logs().items()}
        for key in self._tails.keys() - wanted.keys():
            del self._tails[key]
        for key, (path, tunnel) in wanted.items():
            if key not in self._tails:
                self._tails[key] = Tail(path), tunnel

    def _read_logs(self) -> None:
        now = time.monotonic_ns()
        for tail, owner in self._tails.values():
            for line in tail.lines():
                name = owner or self._attribution.of(line)
                one = self.watched.get(name) if name else None
                if one is None:
                    continue
                if one.diagnosis.hear(line, now):
                    one.heard_ns = now


def _ends(plan: VpnTunnelPlan | None) -> tuple[Any, ...] | None:
    return None if plan is None else (plan.name, plan.local, plan.remote, plan.inside)
