"""Echo requests through tunnels (RFC 792, RFC 4443): a raw socket bound to each tunnel's interface.

What is sent holds a keyed hash of its tunnel and number, so that nobody else's answer counts. Sends,
hears and counts; what it means is bongsu.protocol.link's.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
import time
from collections.abc import Callable

from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.checksum import checksum
from bongsu.protocol.link.prober import Prober

_ECHO = {4: (8, 0), 6: (128, 129)}
"""Types of request and reply."""
_HEAD = struct.Struct("!BBHHH")
HASH_BYTES = 16
REPLY_BYTES = 2048
_BIND_TO_DEVICE = 25
"""SO_BINDTODEVICE: the route out is the tunnel's, whatever the tables say."""


class Echo:
    """One tunnel's probes. Belongs to the event loop's thread."""

    def __init__(self, plan: VpnTunnelPlan, changed: Callable[[], None]) -> None:
        """`changed` is called when what the probes say may have changed."""
        assert plan.probe is not None
        assert plan.peer_inside is not None
        self.plan = plan
        self._peer = plan.peer_inside
        self._probe = plan.probe
        self._changed = changed
        self._key = os.urandom(32)
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told = 0
        self.prober = Prober(time.monotonic_ns(), plan.probe.interval_ms * 1_000_000,
                             plan.probe.misses)  # fmt: skip

    def start(self) -> None:
        """Begin; to be called once."""
        self._tick()

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hang_up()

    def begin(self) -> None:
        """The tunnel stands anew, perhaps on another interface of its name."""
        self.prober.begin()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _tick(self) -> None:
        now = time.monotonic_ns()
        sequence = self.prober.send(now)
        if sequence is not None:
            # What cannot be sent is not answered either: it counts.
            with contextlib.suppress(OSError):
                self._send(sequence)
        unanswered = self.prober.evidence(now).unanswered
        if unanswered >= self._probe.misses > self._told:
            self._changed()
        self._told = unanswered
        wait_s = max(0.0, (self.prober.due - time.monotonic_ns()) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _send(self, sequence: int) -> None:
        if self._socket is None:
            self._socket = self._open()
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)
        kind, _ = _ECHO[self._peer.version]
        body = self._proof(sequence)
        head = _HEAD.pack(kind, 0, 0, self._identifier, sequence)
        # The kernel fills in ICMPv6's, which covers addresses that it chooses.
        total = checksum(head + body) if self._peer.version == 4 else 0
        packet = _HEAD.pack(kind, 0, total, self._identifier, sequence) + body
        try:
            self._socket.sendto(packet, (str(self._peer), 0))
        except OSError:
            # The interface may be another one by now.
            self._hang_up()
            raise

    def _open(self) -> socket.socket:
        version = self._peer.version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, self.plan.name.encode() + b"\0")
            if self.plan.inside is not None:
                found.bind((str(self.plan.inside.ip), 0))
        except OSError:
            found.close()
            raise
        return found

    def _read(self) -> None:
        for _ in range(64):
            if self._socket is None:
                return
            try:
                packet, sender = self._socket.recvfrom(REPLY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._hang_up()
                return
            sequence = self._reply(packet, str(sender[0]))
            answered = sequence is not None and self.prober.answer(sequence, time.monotonic_ns())
            if answered and self._told:
                self._told = 0
                self._changed()

    def _reply(self, packet: bytes, sender: str) -> int | None:
        """The number of a request of ours that this answers."""
        if self._peer.version == 4:
            packet = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
        if len(packet) < _HEAD.size or sender.partition("%")[0] != str(self._peer):
            return None
        kind, code, _, identifier, sequence = _HEAD.unpack_from(packet)
        wanted = (_ECHO[self._peer.version][1], 0, self._identifier)
        if (kind, code, identifier) != wanted:
            return None
        return sequence if packet[_HEAD.size :] == self._proof(sequence) else None

    def _proof(self, sequence: int) -> bytes:
        text = f"{self.plan.name} {sequence}".encode()
        return hashlib.blake2s(text, key=self._key, digest_size=HASH_BYTES).digest()
