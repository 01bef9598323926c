"""The keepalives of a node: sessions for the engine, and what follows when a line changes.

The engine (bongsu.system.keepalive) sends, judges, and stops data in the kernel without Python. Here
its changes become events and reach the backend, which takes the carrier away. A change is applied as
the latest state, never as a backlog: a slow kernel call makes the next one skip what has been
overtaken, and one that failed is tried again.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.keepalive_status import describe, refusals
from bongsu.plan.tunnel import TunnelPlan
from bongsu.protocol.gre_keepalive import Ends, gre_payload
from bongsu.system.gre.base import Seat
from bongsu.system.keepalive.engine import Change, DebugLine, KeepaliveEngine
from bongsu.system.keepalive.memory import Memory
from bongsu.system.keepalive.session import Session

NONCE = bytes(8)

SetLine = Callable[[str, bool], Awaitable[None]]


@dataclass
class _Watched:
    plan: TunnelPlan
    slot: int
    session: Session
    up: bool = True
    """The line as it was last told."""
    last_change: dict[str, Any] | None = None


class KeepaliveShell:
    """Keepalives of all tunnels of the node. Belongs to the event loop's thread."""

    def __init__(self, events: EventLog, set_line: SetLine) -> None:
        self._events = events
        self._set_line = set_line
        self._engine: KeepaliveEngine | None = None
        self._watched: dict[str, _Watched] = {}
        self._names: dict[int, str] = {}
        self._desired: dict[str, Change | None] = {}
        self._unapplied: set[str] = set()
        """Lines that the system refused to set, for `retry`."""
        self._applier: asyncio.Task[None] | None = None
        self._debug = False

    def set_tunnels(
        self, tunnels: Iterable[TunnelPlan], memory: Memory, seats: Mapping[str, Seat]
    ) -> None:
        """Watch exactly these; a tunnel whose ends, timing and seat stay keeps its session.

        A line is as `seats` says, or as an agent before this one left it. Raises OSError, ValueError.
        """
        wanted = {
            tunnel.name: (tunnel, seats[tunnel.name].slot, session_of(tunnel, seats[tunnel.name]))
            for tunnel in tunnels
            # keepalives have no effect on multipoint GRE (Cisco 118370)
            if tunnel.keepalive is not None and not tunnel.multipoint
        }
        for name, watched in list(self._watched.items()):
            if wanted.get(name, ())[1:] != (watched.slot, watched.session):
                self._drop(name)
        if wanted:
            self._start(memory)
        for name, (plan, slot, session) in wanted.items():
            if name in self._watched:
                self._watched[name].plan = plan
            else:
                held = memory.states is not None and memory.states["keepalive_down"][slot]
                self._add(plan, slot, session, seats[name].up, seats[name].up and not held)
        memory.let_go(besides=self._names)

    def close(self) -> None:
        """Stop sending and listening; lines stay as they are."""
        if self._engine is not None:
            asyncio.get_running_loop().remove_reader(self._engine.fileno())
            self._engine.close()
            self._engine = None
        self._watched.clear()
        self._names.clear()
        self._desired.clear()
        self._unapplied.clear()
        if self._applier is not None:
            self._applier.cancel()

    def status(self, name: str) -> dict[str, Any] | None:
        """The tunnel's line protocol as keepalives see it; None without keepalive."""
        watched = self._watched.get(name)
        if watched is None or self._engine is None:
            return None
        assert watched.plan.keepalive is not None
        return {
            **describe(self._engine, watched.slot, watched.plan.keepalive),
            "last_change": watched.last_change,
        }

    def refused(self) -> dict[str, int]:
        """Packets that were no reply of ours, by reason, of all sessions."""
        return refusals(self._engine, list(self._names)) if self._engine is not None else {}

    def debug(self, on: bool) -> None:
        """Keep a line for each keepalive sent and answered, or stop doing so."""
        self._debug = on
        if self._engine is not None:
            self._engine.debug(on)

    def debug_lines(self, since: int) -> list[tuple[DebugLine, TunnelPlan]]:
        """Lines after the one numbered `since`, oldest first, each with its tunnel."""
        if self._engine is None:
            return []
        return [
            (each, self._watched[self._names[each.slot]].plan)
            for each in self._engine.debug_lines(since)
        ]

    def retry(self) -> None:
        """Try again what the system refused; to be called about once a second."""
        for name in self._unapplied:
            self._desired.setdefault(name, None)
        self._apply_soon()

    def _start(self, memory: Memory) -> None:
        if self._engine is not None:
            return
        self._engine = KeepaliveEngine(memory)
        self._engine.debug(self._debug)
        asyncio.get_running_loop().add_reader(self._engine.fileno(), self._read)

    def _add(self, plan: TunnelPlan, slot: int, session: Session, applied: bool, up: bool) -> None:
        assert self._engine is not None
        self._engine.add(slot, session, up=up)
        self._watched[plan.name] = _Watched(plan, slot, session, up)
        self._names[slot] = plan.name
        if applied != up:
            self._desired[plan.name] = None
            self._apply_soon()

    def _drop(self, name: str) -> None:
        assert self._engine is not None
        watched = self._watched.pop(name)
        del self._names[watched.slot]
        self._engine.remove(watched.slot)
        self._desired.pop(name, None)
        self._unapplied.discard(name)

    def _read(self) -> None:
        if self._engine is None:
            return
        for change in self._engine.transitions():
            name = self._names.get(change.slot)
            # An engine that has lost some tells every line as it is, moved or not.
            if name is not None and self._watched[name].up != change.up:
                self._watched[name].up = change.up
                self._tell(name, change)
                self._desired[name] = change
        self._apply_soon()

    def _tell(self, name: str, change: Change) -> None:
        cause = "keepalive answered" if change.up else f"{change.unanswered} keepalives unanswered"
        state = "up" if change.up else "down"
        event = self._events.add(
            "line-protocol", name, cause, level="info" if change.up else "warning", state=state,
            detected_ns=change.detected_ns, stopped_ns=change.stopped_ns,
        )  # fmt: skip
        self._watched[name].last_change = {"time": event.time, "state": state, "cause": cause}

    def _apply_soon(self) -> None:
        if self._desired and (self._applier is None or self._applier.done()):
            self._applier = asyncio.ensure_future(self._apply())

    async def _apply(self) -> None:
        while self._desired:
            name, change = next(iter(self._desired.items()))
            del self._desired[name]
            watched, engine = self._watched.get(name), self._engine
            if watched is None or engine is None:
                continue
            up = engine.up(watched.slot)
            state = "up" if up else "down"
            try:
                await self._set_line(name, up)
            except Exception as error:
                # Whatever it is, the other tunnels' lines wait behind this one.
                if name not in self._unapplied:
                    self._events.add(
                        "line-protocol", name, f"not applied: {error}", level="error", state=state
                    )
                if name in self._watched:
                    self._unapplied.add(name)
                continue
            if self._watched.get(name) is not watched:
                # Of a session that has ended; what has begun in its place may be otherwise.
                self._desired.setdefault(name, None)
            if name in self._unapplied:
                self._unapplied.discard(name)
                self._events.add("line-protocol", name, "applied at last")
            elif change is not None and change.up == up:
                self._events.add(
                    "carrier", name, f"line protocol {state}", state=state,
                    detected_ns=change.detected_ns, stopped_ns=change.stopped_ns,
                )  # fmt: skip


def keepalive_ends(plan: TunnelPlan) -> Ends:
    """The tunnel as keepalives see it. ValueError when its dialect needs what it does not have."""
    # The one dialect that speaks between inside addresses has been seen over IPv4 only.
    ends = Ends(plan.local, plan.remote, plan.key, plan.inside4())
    if plan.keepalive is not None:
        ends.inner(plan.keepalive.dialect)
    return ends


def session_of(plan: TunnelPlan, seat: Seat) -> Session:
    """The plan's keepalive for the engine. OSError without the interface, ValueError as Ends."""
    keepalive = plan.keepalive
    assert keepalive is not None
    # Its two ECN bits are never used (RFC 6040): a keepalive would come as if it met congestion.
    tos = plan.tos & 0xFC if isinstance(plan.tos, int) else 0
    payload = gre_payload(
        keepalive_ends(plan),
        tos=tos,
        nonce=NONCE if keepalive.nonce else None,
        dialect=keepalive.dialect,
    )
    # From a loopback's address, routing chooses; it chooses in the VRF of the interface it is given.
    device = plan.transport_vrf if plan.other_underlays else plan.underlay
    return Session(
        local=plan.local,
        remote=plan.remote,
        interval_ns=keepalive.interval_ns,
        retries=keepalive.retries,
        up_after=keepalive.up_after,
        nonce=keepalive.nonce,
        payload=payload,
        inner=4 if plan.key is None else 8,
        ttl=plan.ttl,
        tos=tos,
        ifindex=socket.if_nametoindex(device) if device else 0,
        mode="kernel" if seat.judged and plan.ipsec is None else "socket",
    )
