"""The endpoints behind an egress PoP: where their names lead, which of them live, which are used.

Each has a task that looks its name up and asks it (bongsu.agent.relay.probe). What lives is what the
data plane gets. Of a group in which nobody answers all are kept: the one thing worse than an endpoint
that may be dead is none at all, and a firewall that drops our questions is no reason to end sessions.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.relay.probe import ask_echo, ask_ike, ask_tcp
from bongsu.agent.relay.resolve import AGAIN_S, SOON_S, Lookup, choose, resolve, system_lookup
from bongsu.model.accelerator import Health as HealthSettings
from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, EndpointPlan, ListenerPlan
from bongsu.protocol.health.ike import Version
from bongsu.protocol.health.machine import Health

ASK_S = 3.0
"""An answer later than this is none, whatever the interval."""
IKE_PORTS = (4500, 500)
_VERSIONS: tuple[Version, Version] = (2, 1)
UNCHECKED_S = 5.0
"""How often an endpoint without health probes is looked at, for its name's sake."""


@dataclass
class Watched:
    """One endpoint of one listener."""

    plan: EndpointPlan
    health: Health | None
    address: Address | None = None
    """None until its name was found."""
    since: float = field(default_factory=time.monotonic)
    """Of its verdict."""
    unresolved: str = ""
    """Why its name was not found the last time."""
    looked_up: float | None = None
    question: tuple[Version, int] | None = None
    """Version of IKE and port that it answered last."""

    @property
    def alive(self) -> bool:
        """Whether it has an address and answers, as far as it is asked."""
        return self.address is not None and (self.health is None or self.health.alive)


@dataclass
class Group:
    """A listener's endpoints."""

    accelerator: AcceleratorPlan
    listener: ListenerPlan
    endpoints: list[Watched]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    desperate: bool = False
    """Nobody lives, so all are used."""

    @property
    def name(self) -> str:
        """As events call it."""
        return f"{self.accelerator.name} {self.listener.name}"

    def used(self) -> list[Watched]:
        """What the data plane is to use: those that live, or all where none that takes clients does."""
        alive = [one for one in self.endpoints if one.alive]
        if any(one.plan.weight for one in alive):
            return alive
        return [one for one in self.endpoints if one.address is not None]


Changed = Callable[[AcceleratorPlan, ListenerPlan, list[Watched]], None]


class Endpoints:
    """All groups that this node is the egress of. Belongs to the event loop's thread."""

    def __init__(self, events: EventLog, changed: Changed, lookup: Lookup = system_lookup) -> None:
        """`changed(accelerator, listener, used)` hears of each group when it begins, and changes."""
        self._events = events
        self._changed = changed
        self._lookup = lookup
        self.groups: dict[tuple[int, str], Group] = {}

    def follow(self, accelerators: list[AcceleratorPlan]) -> None:
        """Look after exactly these. An endpoint whose plan stays keeps what is known of it."""
        before = self.groups
        for group in before.values():
            for task in group.tasks:
                task.cancel()
        self.groups = {}
        for accelerator in accelerators:
            for listener in accelerator.listeners:
                key = (accelerator.number, listener.name)
                group = Group(accelerator, listener, _kept(before.get(key), listener))
                self.groups[key] = group
                self._publish(group)
                group.tasks = [
                    asyncio.ensure_future(self._look_after(group, one, place))
                    for place, one in enumerate(group.endpoints)
                ]

    def close(self) -> None:
        """Look no more."""
        for group in self.groups.values():
            for task in group.tasks:
                task.cancel()
        self.groups = {}

    async def _look_after(self, group: Group, one: Watched, place: int) -> None:
        settings = group.listener.health
        every_s = float(settings.interval_s) if settings is not None else UNCHECKED_S
        # Not all at once.
        with contextlib.suppress(asyncio.CancelledError):
            await self._look_up(group, one)
            await asyncio.sleep(every_s * place / len(group.endpoints))
            while True:
                began = time.monotonic()
                await self._look_up(group, one)
                if settings is not None and one.address is not None:
                    await self._ask(group, one, settings, min(every_s, ASK_S))
                await asyncio.sleep(max(0.0, began + every_s - time.monotonic()))

    async def _look_up(self, group: Group, one: Watched) -> None:
        name = one.plan.address
        family = group.accelerator.off_address.version
        if not isinstance(name, str):
            if one.address is None:
                one.address = name
                self._publish(group)
            return
        again = AGAIN_S if one.alive else SOON_S
        if one.looked_up is not None and time.monotonic() - one.looked_up < again:
            return
        one.looked_up = time.monotonic()
        subject = f"{group.name} {one.plan.name}"
        try:
            found = await resolve(name, family, self._lookup)
        except OSError as error:
            reason = error.strerror or str(error)
            if one.unresolved != reason:
                kept = "" if one.address is None else f"; {one.address} stays"
                self._events.add(
                    "endpoint", subject, f"{name} cannot be looked up: {reason}{kept}",
                    level="warning",
                )  # fmt: skip
            one.unresolved = reason
            return
        one.unresolved = ""
        address = choose(found, one.address)
        if address != one.address:
            was = "" if one.address is None else f", no longer {one.address}"
            self._events.add("endpoint", subject, f"{name} is {address}{was}", address=str(address))
            one.address = address
            self._publish(group)

    async def _ask(
        self, group: Group, one: Watched, settings: HealthSettings, wait_s: float
    ) -> None:
        assert one.health is not None
        assert one.address is not None
        source, target = group.accelerator.off_address, one.address
        first = group.listener.ranges[0][0]
        try:
            if settings.probe == "ike":
                reason = await _ask_ike(one, group.listener, source, target, wait_s)
            elif settings.probe == "tcp":
                reason = await ask_tcp(source, target, first, wait_s)
            else:
                reason = await ask_echo(source, target, wait_s)
        except OSError as error:
            reason = error.strerror or str(error)
        if one.address != target:
            return
        if one.health.look(reason):
            self._tell(group, one, settings)

    def _tell(self, group: Group, one: Watched, settings: HealthSettings) -> None:
        assert one.health is not None
        one.since = time.monotonic()
        subject, asked = f"{group.name} {one.plan.name}", settings.probe
        if one.alive:
            self._events.add(
                "endpoint", subject, f"{one.address} answers ({asked})", state="up",
            )  # fmt: skip
        else:
            cause = f"{one.address}: {one.health.missed} probes ({asked}) unanswered: {one.health.reason}"
            self._events.add("endpoint", subject, cause, level="warning", state="down")
        self._publish(group)

    def _publish(self, group: Group) -> None:
        used = group.used()
        desperate = bool(used) and not any(one.alive and one.plan.weight for one in used)
        if desperate and not group.desperate:
            self._events.add(
                "endpoint", group.name, "no endpoint answers: all are used all the same",
                level="error",
            )  # fmt: skip
        group.desperate = desperate
        self._changed(group.accelerator, group.listener, used)


async def _ask_ike(
    one: Watched, listener: ListenerPlan, source: Address, target: Address, wait_s: float
) -> str:
    """What it answered last time; in every way while it does not, for it may know one only."""
    assert one.health is not None
    questions = (
        [one.question] if one.question and not one.health.missed else ike_questions(listener)
    )

    async def ask(version: Version, port: int) -> tuple[tuple[Version, int], str]:
        return (version, port), await ask_ike(version, source, target, port, wait_s)

    reason = ""
    asked = [asyncio.ensure_future(ask(*question)) for question in questions]
    try:
        for done in asyncio.as_completed(asked):
            question, reason = await done
            if not reason:
                one.question = question
                break
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return reason


def ike_questions(listener: ListenerPlan) -> list[tuple[Version, int]]:
    """Versions and ports: 4500 first, where the traffic goes behind a NAT."""
    found = [
        port for port in IKE_PORTS if any(first <= port <= last for first, last in listener.ranges)
    ]
    return [(version, port) for port in found or IKE_PORTS for version in _VERSIONS]


def describe(group: Group) -> list[dict[str, Any]]:
    """Every endpoint of a group as JSON."""
    now = time.monotonic()
    used = {one.plan.name for one in group.used()}
    return [
        {
            "name": one.plan.name,
            "target": str(one.plan.address),
            "address": None if one.address is None else str(one.address),
            "weight": one.plan.weight,
            "state": _state(one),
            "used": one.plan.name in used,
            "since_s": round(now - one.since, 1),
            "asked": one.health.asked if one.health else 0,
            "answered": one.health.answered if one.health else 0,
            "reason": one.unresolved or (one.health.reason if one.health else ""),
        }
        for one in group.endpoints
    ]


def _state(one: Watched) -> str:
    if one.address is None:
        return "unresolved"
    if one.health is None:
        return "unchecked"
    return "up" if one.health.alive else "down"


def _kept(before: Group | None, listener: ListenerPlan) -> list[Watched]:
    known = {one.plan.name: one for one in before.endpoints} if before is not None else {}
    same = before is not None and before.listener.health == listener.health
    found = []
    for plan in listener.endpoints:
        one = known.get(plan.name)
        if one is not None and same and one.plan.address == plan.address:
            one.plan = plan
        else:
            health = None if listener.health is None else Health(listener.health.misses)
            one = Watched(plan, health)
            one.address = plan.address if not isinstance(plan.address, str) else None
        found.append(one)
    return found
