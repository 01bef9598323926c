"""A degraded tunnel's routes count less, both ways, and somebody looks whether they do.

A preference first, withdrawal when down: with another tunnel that is well, traffic leaves one that loses
packets without either end closing anything. When it is so, bongsu.protocol.link.demotion decides; routing
is told of the outcome, and asked afterwards what its routes count.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from bongsu.agent.events import EventLog
from bongsu.agent.services.node import NodeServices
from bongsu.agent.vpn.watched import Watched
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer
from bongsu.protocol.link.demotion import Demotion
from bongsu.system.daemons.standing import Standing

WITHIN_S = 15.0
"""Until then what was told has to be so: a route refresh takes a round trip, FRR applies maps after 5 s."""


class Preference:
    """Belongs to the event loop's thread."""

    def __init__(
        self, events: EventLog, services: NodeServices, failed: Callable[[str, Exception], None]
    ) -> None:
        self._events = events
        self._services = services
        self._failed = failed
        self._demotions: dict[str, Demotion] = {}
        self._told: object = None
        """Which process of the daemon was told what."""
        self._adopted = False
        """Whether routing was asked what an earlier agent has lowered."""
        self._unproved: dict[str, float] = {}
        """Tunnels whose change has not been seen in routing yet, and until when it should be."""
        self.weak: frozenset[str] = frozenset()
        """Tunnels whose routes count less."""

    async def look(self, plan: NodePlan, watched: Iterable[Watched]) -> None:
        """Follow the verdicts; tell routing what has changed, a new process of it all. Never raises."""
        steered = {peer.tunnel: peer for peer in plan.cloud_peers if peer.weak is not None}
        router = self._services.router(plan)
        process = router.process
        try:
            if steered and process is not None and not self._adopted:
                self._adopt(await asyncio.to_thread(router.lowered, plan))
            self._judge([one for one in watched if one.plan.name in steered])
            told = process, self.weak, tuple(map(_counts, steered.values()))
            if steered and process is not None and told != self._told:
                await asyncio.to_thread(router.steer, plan, self.weak)
                self._told = told
            if steered and process is not None and self._unproved:
                self._prove(steered, await asyncio.to_thread(router.standing, plan))
        except Exception as error:
            self._failed("preference", error)

    def loaded(self) -> None:
        """Routing has been given a configuration, which may say otherwise: it is told again."""
        self._told = None

    def _adopt(self, names: Iterable[str]) -> None:
        """An agent that starts knows no reason yet, and must not move routes for that."""
        self._adopted = True
        now = time.monotonic_ns()
        for name in names:
            self._demotions[name] = Demotion(now, weak=True)
            self._events.add("preference", name, "found lowered", lowered=True)

    def _judge(self, watched: list[Watched]) -> None:
        now = time.monotonic_ns()
        names = {one.plan.name for one in watched}
        for name in self._demotions.keys() - names:
            del self._demotions[name]
            self._unproved.pop(name, None)
        for one in watched:
            name, machine = one.plan.name, one.machine
            demotion = self._demotions.setdefault(name, Demotion(now))
            before = demotion.weak
            if demotion.look(now, machine.verdict, machine.cause) is before:
                continue
            self._unproved[name] = time.monotonic() + WITHIN_S
            cause = machine.cause.text if machine.cause is not None else "degraded"
            self._events.add(
                "preference", name,
                f"lowered: {cause}" if demotion.weak else f"restored after {demotion.hold_s:g} s up",
                level="warning" if demotion.weak else "info", lowered=demotion.weak,
            )  # fmt: skip
        self.weak = frozenset(name for name, each in self._demotions.items() if each.weak)

    def _prove(self, steered: dict[str, CloudPeer], seen: dict[str, Standing]) -> None:
        for name, until in list(self._unproved.items()):
            wanted = steered[name].counts(weak=name in self.weak)
            standing = seen.get(name)
            if standing is not None and standing.is_so(wanted.preference, wanted.prepend):
                del self._unproved[name]
                self._events.add(
                    "preference", name,
                    f"in effect: local preference {wanted.preference}, our AS {wanted.prepend}"
                    " times more in what is announced",
                    verified=True,
                )  # fmt: skip
            elif time.monotonic() > until:
                del self._unproved[name]
                self._events.add(
                    "preference", name, _otherwise(standing), level="warning", verified=False,
                    wanted=wanted.preference,
                )  # fmt: skip


def _otherwise(standing: Standing | None) -> str:
    if standing is None:
        return "not seen in effect: there is no session"
    found = ", ".join(map(str, sorted(standing.preferences))) or "none"
    return (
        f"not in effect: local preferences are {found}. A far end without route refresh needs"
        " bgp: {soft_reconfiguration: true}"
    )


def _counts(peer: CloudPeer) -> tuple[object, ...]:
    return peer.tunnel, peer.preference, peer.prepend, peer.weak
