"""The mesh on sockets: probes to all PoPs, answers to theirs, and what changes of path follow.

UDP on the port after the relay's, one socket for each of our addresses. Arrivals are stamped by the
kernel at both ends, and an answer says how long its probe was held, so that a busy agent does not
lengthen what is measured. Packets count only from a peer's own address and port, with a good MAC.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.model.base import Address
from bongsu.plan.relay import RelayPeer, RelayPlan
from bongsu.protocol.mesh.history import History
from bongsu.protocol.mesh.machine import SECOND, Mesh
from bongsu.protocol.mesh.packet import (
    LONGEST,
    PacketError,
    Probe,
    decode,
    encode_answer,
    encode_probe,
    mesh_key,
)
from bongsu.protocol.mesh.path import Change
from bongsu.protocol.mesh.words import said, why
from bongsu.system.stamps import SO_TIMESTAMPNS, monotonic, stamp_of

AT_ONCE = 256
"""Packets taken in one go."""
FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND, IPV6_FREEBIND: a tunnel's address may come later than the mesh."""
SLOW_S = 1.0
"""Between two looks where nothing is to be probed."""


class MeshShell:
    """One node's part in the mesh. Belongs to the event loop's thread."""

    def __init__(self, events: EventLog, changed: Callable[[int, int], None]) -> None:
        """`changed(destination, next_hop)` hears of each new path."""
        self._events = events
        self._changed = changed
        self.machine: Mesh | None = None
        self.history: History | None = None
        self.refused: Counter[str] = Counter()
        """Packets that did not count, by why."""
        self.names: dict[int, str] = {}
        self.last: dict[int, dict[str, Any]] = {}
        """The newest event of each destination's path: `time`, `cause`, and `why` without the way."""
        self._plan: RelayPlan | None = None
        self._key = b""
        self._port = 0
        self._sockets: dict[Address, socket.socket] = {}
        self._peers: dict[int, RelayPeer] = {}
        self._senders: dict[Address, set[int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._unbound: dict[Address, str] = {}

    def follow(self, plan: RelayPlan, secret: bytes | None, paths: dict[int, int]) -> None:
        """Measure this plan's peers from now on; `paths` are next hops that an earlier agent left."""
        now = time.monotonic_ns()
        before = self._plan
        if (
            self.machine is None
            or before is None
            or before.mesh != plan.mesh
            or before.number != plan.number
        ):
            kept = self.machine.paths() if self.machine is not None else {}
            paths = paths | {number: path.next_hop for number, path in kept.items()}
            self.machine = Mesh(plan.number, plan.mesh, int.from_bytes(os.urandom(8), "big"))
            self.history = History(plan.mesh.window_s * SECOND)
        assert self.history is not None
        self._plan, self._key = plan, mesh_key(secret)
        self._peers = {peer.number: peer for peer in plan.peers}
        self.names = {peer.number: peer.node for peer in plan.peers}
        self._senders = {}
        for peer in plan.peers:
            self._senders.setdefault(peer.remote, set()).add(peer.number)
        self.machine.follow(self._peers, now, paths)
        self.history.follow(self._peers)
        self.last = {number: last for number, last in self.last.items() if number in self._peers}
        wanted = {peer.local for peer in plan.peers}
        moved = self._port != plan.measuring_port
        self._port = plan.measuring_port
        for local in [each for each in self._sockets if moved or each not in wanted]:
            self._hang_up(local)
        self._tick()

    def close(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for local in list(self._sockets):
            self._hang_up(local)
        self.machine = self.history = self._plan = None
        self._peers, self._senders, self.last = {}, {}, {}

    def next_hops(self) -> dict[int, int]:
        """The way in use to each destination."""
        return {} if self.machine is None else {
            number: path.next_hop for number, path in self.machine.paths().items()
        }  # fmt: skip

    def _tick(self) -> None:
        machine, history = self.machine, self.history
        if machine is None or history is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        for local in {peer.local for peer in self._peers.values()}:
            with contextlib.suppress(OSError):
                self._socket(local)
            # An answer that waits here unread is not a lost one.
            self._read(local)
        now = time.monotonic_ns()
        for change in machine.look(now):
            self._tell(change)
        history.note(now, machine.figures(), self.next_hops())
        for probe in machine.poll(now):
            self._send(probe.destination, encode_probe(probe, self._key))
        wake = machine.wake()
        wait_s = SLOW_S if wake is None else max(0.0, (wake - time.monotonic_ns()) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tell(self, change: Change) -> None:
        assert self._plan is not None
        mesh = self._plan.mesh
        cause = said(change, self.names, mesh.window_s, mesh.dead_after)
        event = self._events.add(
            "path", self.names.get(change.destination, ""), cause, level="warning",
            why=change.why.value, before=self.names.get(change.before),
            next_hop=self.names.get(change.after),
        )  # fmt: skip
        reason = why(change, self.names, mesh.window_s, mesh.dead_after)
        self.last[change.destination] = {"time": event.time, "cause": cause, "why": reason}
        self._changed(change.destination, change.after)

    def _send(self, number: int, data: bytes) -> None:
        """To a peer. What cannot be sent is not answered either: it counts."""
        peer = self._peers[number]
        with contextlib.suppress(OSError):
            self._socket(peer.local).sendto(data, (str(peer.remote), self._port))

    def _socket(self, local: Address) -> socket.socket:
        found = self._sockets.get(local)
        if found is None:
            try:
                found = self._open(local)
            except OSError as error:
                text = f"cannot measure from {local} port {self._port}: {error.strerror or error}"
                if self._unbound.get(local) != text:
                    self._unbound[local] = text
                    self._events.add("mesh", str(local), text, level="error")
                raise
            self._unbound.pop(local, None)
            self._sockets[local] = found
            asyncio.get_running_loop().add_reader(found.fileno(), self._read, local)
        return found

    def _open(self, local: Address) -> socket.socket:
        family = socket.AF_INET if local.version == 4 else socket.AF_INET6
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        found = socket.socket(family, kind)
        try:
            found.setsockopt(*FREEBIND[local.version], 1)
            found.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            found.bind((str(local), self._port))
        except OSError:
            found.close()
            raise
        return found

    def _hang_up(self, local: Address) -> None:
        found = self._sockets.pop(local)
        asyncio.get_running_loop().remove_reader(found.fileno())
        found.close()

    def _read(self, local: Address) -> None:
        for _ in range(AT_ONCE):
            found = self._sockets.get(local)
            if found is None:
                return
            try:
                data, ancillary, _, sender = found.recvmsg(LONGEST, 128)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error that an earlier packet met
            self._take(data, sender, monotonic(stamp_of(ancillary)))

    def _take(self, data: bytes, sender: tuple[Any, ...], came: int) -> None:
        machine = self.machine
        if machine is None:
            return
        numbers = self._senders.get(ip_address(str(sender[0]).partition("%")[0]), set())
        if not numbers or sender[1] != self._port:
            self.refused["sender"] += 1
            return
        try:
            packet = decode(data, self._key)
        except PacketError as error:
            self.refused[error.reason] += 1
            return
        if packet.source not in numbers:
            self.refused["sender"] += 1
        elif not isinstance(packet, Probe):
            machine.take(packet, came)
        elif machine.hear(packet, came):
            held = time.monotonic_ns() - came
            self._send(packet.source, encode_answer(packet, held, machine.vector(), self._key))
