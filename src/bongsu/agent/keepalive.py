"""The shell around the keepalive machines: raw sockets, one clock, one applier for all tunnels.

A line protocol change is applied as the latest state, never as a backlog: a slow kernel call makes
the next one skip what has been overtaken, and one that failed is tried again. Requests are whole
packets on one IPPROTO_RAW socket, so they leave by the underlay beside the tunnel; replies arrive on
one GRE socket per local address, whose filter lets only protocol type 0 up, or every data packet
would be copied here.
"""

import asyncio
import ctypes
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.plan.tunnel import TunnelPlan
from bongsu.protocol.gre_keepalive import (
    Config,
    Ends,
    KeepaliveMachine,
    LineDown,
    LineUp,
    RefusedError,
    Send,
    Wake,
    parse_reply,
    request,
)
from bongsu.protocol.gre_keepalive.machine import Action, Line

DRAIN_AT_ONCE = 256
"""Replies read before timers are looked at again: a flood must not stop the sending."""

_SO_ATTACH_FILTER = 26
_IP_FREEBIND = 15

SetLine = Callable[[str, bool], Awaitable[None]]


@dataclass
class _Session:
    plan: TunnelPlan
    ends: Ends
    machine: KeepaliveMachine
    identification: int
    packet: bytes
    timer: asyncio.TimerHandle | None = None
    sent: int = 0
    received: int = 0
    send_errors: int = 0
    last_error: str = ""


class KeepaliveShell:
    """Keepalives of all tunnels of the node. Belongs to the event loop's thread."""

    def __init__(self, events: EventLog, set_line: SetLine) -> None:
        self._events = events
        self._set_line = set_line
        self._sessions: dict[str, _Session] = {}
        self._by_ends: dict[Ends, _Session] = {}
        self._sender: socket.socket | None = None
        self._receivers: dict[IPv4Address, socket.socket] = {}
        self._desired: dict[str, bool] = {}
        self._unapplied: dict[str, bool] = {}
        """Changes that the system refused, for `retry`."""
        self._applier: asyncio.Task[None] | None = None
        self.refused: dict[str, int] = {}
        """Packets that were no reply of ours, by reason."""

    def set_tunnels(self, tunnels: Iterable[TunnelPlan], lines: Mapping[str, bool]) -> None:
        """Watch exactly these; a tunnel whose ends and timing stay keeps its machine.

        `lines` is the line protocol of each as it is now. Raises OSError, ValueError.
        """
        wanted = {tunnel.name: tunnel for tunnel in tunnels if tunnel.keepalive is not None}
        for name, session in list(self._sessions.items()):
            plan = wanted.get(name)
            if plan is None or (keepalive_ends(plan), plan.keepalive) != (
                session.ends,
                session.plan.keepalive,
            ):
                self._drop(name)
        locals_ = {keepalive_ends(plan).local for plan in wanted.values()}
        for address in set(self._receivers) - locals_:
            self._close(address)
        if wanted and self._sender is None:
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._sender.setblocking(False)
        for address in locals_ - set(self._receivers):
            self._open(address)
        for name, plan in wanted.items():
            if name not in self._sessions:
                self._add(plan, lines.get(name, True))

    def close(self) -> None:
        """Stop sending and listening; lines stay as they are."""
        for name in list(self._sessions):
            self._drop(name)
        for address in list(self._receivers):
            self._close(address)
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        if self._applier is not None:
            self._applier.cancel()

    def status(self, name: str) -> dict[str, Any] | None:
        """The tunnel's line protocol as keepalives see it; None without keepalive."""
        session = self._sessions.get(name)
        if session is None:
            return None
        machine = session.machine
        return {
            "line_protocol": machine.line.value,
            "since_s": round((time.monotonic_ns() - machine.changed) / 1e9, 3),
            "seconds": machine.config.seconds,
            "retries": machine.config.retries,
            "unanswered": machine.counter,
            "sent": session.sent,
            "received": session.received,
            "send_errors": session.send_errors,
            "last_error": session.last_error,
        }

    def _add(self, plan: TunnelPlan, up: bool) -> None:
        assert plan.keepalive is not None
        ends = keepalive_ends(plan)
        # Nobody off the path can answer for the far end without guessing this.
        identification = 1 + int.from_bytes(os.urandom(2)) % 0xFFFF
        tos = plan.tos if isinstance(plan.tos, int) else 0
        session = _Session(
            plan,
            ends,
            KeepaliveMachine(
                Config(plan.keepalive.seconds, plan.keepalive.retries),
                time.monotonic_ns(),
                line=Line.UP if up else Line.DOWN,
            ),
            identification,
            request(ends, identification, tos),
        )
        self._sessions[plan.name] = self._by_ends[ends] = session
        self._tick(session)

    def _drop(self, name: str) -> None:
        session = self._sessions.pop(name)
        del self._by_ends[session.ends]
        self._desired.pop(name, None)
        self._unapplied.pop(name, None)
        if session.timer is not None:
            session.timer.cancel()

    def _open(self, address: IPv4Address) -> None:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
        try:
            receiver.setblocking(False)
            _only_protocol_0(receiver)
            # The uplink may get its address later than the agent starts.
            receiver.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            receiver.bind((str(address), 0))
            asyncio.get_running_loop().add_reader(receiver, self._read, receiver)
        except OSError:
            receiver.close()
            raise
        self._receivers[address] = receiver

    def _close(self, address: IPv4Address) -> None:
        receiver = self._receivers.pop(address)
        asyncio.get_running_loop().remove_reader(receiver)
        receiver.close()

    def _tick(self, session: _Session) -> None:
        # After a stall of this process the replies are there already; timers must not win.
        if receiver := self._receivers.get(session.ends.local):
            self._read(receiver)
        self._act(session, session.machine.tick(time.monotonic_ns()))

    def _read(self, receiver: socket.socket) -> None:
        for _ in range(DRAIN_AT_ONCE):
            try:
                data = receiver.recv(2048)
            except BlockingIOError:
                return
            except OSError as error:
                self._events.add("keepalive", "", f"receive: {error.strerror}", level="warning")
                return
            try:
                reply = parse_reply(data)
                session = self._by_ends.get(Ends(reply.destination, reply.source, reply.key))
                if session is None:
                    self._refuse("no tunnel with these ends and this key")
                    continue
                reply.check(session.ends, session.identification)
            except RefusedError as error:
                self._refuse(error.reason.value)
                continue
            session.received += 1
            self._act(session, session.machine.reply(time.monotonic_ns()))

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _act(self, session: _Session, actions: list[Action]) -> None:
        name = session.plan.name
        for action in actions:
            match action:
                case Send():
                    self._send(session)
                case Wake(at):
                    if session.timer is not None:
                        session.timer.cancel()
                    # The loop's clock is CLOCK_MONOTONIC, as time.monotonic_ns() is.
                    session.timer = asyncio.get_running_loop().call_at(
                        at / 1e9, self._tick, session
                    )
                case LineDown(unanswered):
                    self._change(name, False, f"{unanswered} keepalives unanswered")
                case LineUp():
                    self._change(name, True, "keepalive answered")

    def _send(self, session: _Session) -> None:
        assert self._sender is not None
        try:
            self._sender.sendto(session.packet, (str(session.ends.remote), 0))
            session.sent += 1
        except OSError as error:
            # No route, no buffer, refused by a filter: it counts as not answered.
            session.send_errors += 1
            session.last_error = error.strerror or str(error)

    def _change(self, name: str, up: bool, cause: str) -> None:
        state = Line.UP.value if up else Line.DOWN.value
        level = "info" if up else "warning"
        self._events.add("line-protocol", name, cause, level=level, state=state)  # type: ignore[arg-type]
        self._apply_line(name, up)

    def retry(self) -> None:
        """Try again what the system refused; to be called about once a second."""
        for name, up in self._unapplied.items():
            self._apply_line(name, self._desired.get(name, up))

    def _apply_line(self, name: str, up: bool) -> None:
        self._desired[name] = up
        if self._applier is None or self._applier.done():
            self._applier = asyncio.ensure_future(self._apply())

    async def _apply(self) -> None:
        while self._desired:
            name, up = next(iter(self._desired.items()))
            del self._desired[name]
            try:
                await self._set_line(name, up)
            except Exception as error:
                # Whatever it is, the other tunnels' lines wait behind this one.
                if name not in self._unapplied:
                    self._events.add(
                        "line-protocol", name, f"not applied: {error}", level="error",
                        state=Line.UP.value if up else Line.DOWN.value,
                    )  # fmt: skip
                if name in self._sessions:
                    self._unapplied[name] = up
                continue
            if self._unapplied.pop(name, None) is not None:
                self._events.add("line-protocol", name, "applied at last")


def keepalive_ends(plan: TunnelPlan) -> Ends:
    """The tunnel as keepalives see it. ValueError over IPv6, which the dialect does not have."""
    if not isinstance(plan.local, IPv4Address) or not isinstance(plan.remote, IPv4Address):
        raise ValueError(f"{plan.name}: keepalive needs an IPv4 underlay; use BFD over IPv6")
    return Ends(plan.local, plan.remote, plan.key)


def _only_protocol_0(receiver: socket.socket) -> None:
    """Classic BPF: accept if the 16 bits after the GRE flags are 0 (bpf(4), linux/filter.h)."""
    program = [
        (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf): length of the IPv4 header
        (0x48, 0, 0, 2),  # ldh [x+2]: GRE protocol type
        (0x15, 0, 1, 0),  # jeq #0
        (0x06, 0, 0, 0xFFFF),  # accept
        (0x06, 0, 0, 0),  # drop
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter_ = struct.pack("HL", len(program), ctypes.addressof(code))
    receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
