"""In the guest: one end's keepalives, what becomes of each, and what is on the wire meanwhile.

The machine's clock is not the world's: a request is over when it is answered, or when a kernel has
counted its end. Nothing here is decided by time, except that a packet which neither arrives nor is
counted has to be given up.
"""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive import (
    Config,
    Ends,
    KeepaliveMachine,
    RefusedError,
    Send,
    inner,
    parse_reply,
)
from bongsu.system import netns
from tests.vm.jobs.ipsec_tunnel import ENDS, OTHER, Tunnel, namespace

SECONDS, RETRIES = 5, 4
ETH_P_ALL, ETH_P_IP = 3, 0x0800
GIVEN_UP_S, LOOK_S = 10.0, 0.02
"""Longest wait for a packet's fate, and between two looks at the counters."""

Counters = dict[str, Counter[str]]


def counters() -> Counters:
    """What either end has dropped: /proc/net/xfrm_stat, and what its devices could not send."""
    found: Counters = {}
    for end in ENDS:
        with netns.in_netns(namespace(end)):
            xfrm = Path("/proc/thread-self/net/xfrm_stat").read_text()
            devices = Path("/proc/thread-self/net/dev").read_text()
        rows = (line.split() for line in xfrm.splitlines())
        found[end] = Counter({name: int(value) for name, value in rows})
        for line in devices.splitlines()[2:]:
            name, _, values = line.partition(":")
            found[end][f"{name.strip()} tx errors"] = int(values.split()[10])
    return found


class Wire:
    """What leaves either end: a tap on arrivals would also show what was decrypted there."""

    def __init__(self) -> None:
        self._taps = {}
        for end in ENDS:
            tap = netns.socket_in(namespace(end), socket.AF_PACKET, socket.SOCK_DGRAM)
            with netns.in_netns(namespace(end)):
                tap.bind(("wan", ETH_P_ALL))
            tap.setblocking(False)
            self._taps[end] = tap

    def seen(self) -> dict[str, list[str]]:
        """By the end that sent it: `esp`, or `gre` and its protocol type. Forgets them."""
        found = {}
        for end, tap in self._taps.items():
            kinds = set()
            while select.select([tap], [], [], 0)[0]:
                packet, (_, protocol, direction, _, _) = tap.recvfrom(2048)
                if direction == socket.PACKET_OUTGOING and protocol == ETH_P_IP:
                    kinds.add(_kind(packet))
            found[end] = sorted(kinds)
        return found

    def close(self) -> None:
        for tap in self._taps.values():
            tap.close()


def _kind(packet: bytes) -> str:
    if packet[9] == socket.IPPROTO_GRE:
        return f"gre {packet[22:24].hex()}"
    return {socket.IPPROTO_ESP: "esp"}.get(packet[9], f"protocol {packet[9]}")


class Sender:
    """The end that asks. Its requests go into the tunnel, and take the way that all do there."""

    def __init__(self, tunnel: Tunnel, end: str) -> None:
        where, far = namespace(end), OTHER[end]
        self._ends = Ends(IPv4Address(tunnel.outer(end)), IPv4Address(tunnel.outer(far)))
        self._tunnel = tunnel.name
        self._inside = tunnel.inside(far)
        self._out = netns.socket_in(where, socket.AF_PACKET, socket.SOCK_DGRAM)
        # Not bound to a device: it is for the kernel to keep clear text away from it.
        self._in = netns.socket_in(where, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
        self._echo = netns.socket_in(where, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._number = 0

    def ask(self) -> str:
        """What becomes of one request: `reply`, the counters of who dropped it, or `lost`."""
        self._number += 1
        packet = inner(self._ends, self._number)
        return _fate(
            lambda: self._out.sendto(packet, (self._tunnel, ETH_P_IP)), self._in, self._ours
        )

    def echo(self) -> str:
        """The same of a packet like any other, there and back through the tunnel."""
        kind, rest = b"\x08\0", b"\0\1\0\1"
        packet = kind + checksum(kind + rest).to_bytes(2, "big") + rest
        return _fate(
            lambda: self._echo.sendto(packet, (self._inside, 0)),
            self._echo,
            lambda packet: packet[20] == 0,
        )

    def line(self) -> tuple[list[str], list[str]]:
        """The line protocol after each request, one more than it takes to lose it; their fates."""
        machine = KeepaliveMachine(Config(SECONDS, RETRIES), 0)
        lines, fates = [], set()
        for _ in range(RETRIES + 1):
            now = machine.deadline
            for action in machine.tick(now):
                if isinstance(action, Send):
                    fate = self.ask()
                    fates.add(fate)
                    if fate == "reply":
                        machine.reply(now)
            lines.append(machine.line.value)
        return lines, sorted(fates)

    def close(self) -> None:
        for each in (self._out, self._in, self._echo):
            each.close()

    def _ours(self, packet: bytes) -> bool:
        try:
            parse_reply(packet).check(self._ends, self._number)
        except RefusedError:
            return False
        return True


def _fate(
    send: Callable[[], object], receive: socket.socket, awaited: Callable[[bytes], bool]
) -> str:
    before = counters()
    send()
    deadline = time.monotonic() + GIVEN_UP_S
    while time.monotonic() < deadline:
        if select.select([receive], [], [], LOOK_S)[0]:
            if awaited(receive.recv(2048)):
                return "reply"
            continue
        now = counters()
        if dropped := [f"{end} {name}" for end in ENDS for name in now[end] - before[end]]:
            return ", ".join(sorted(dropped))
    return "lost"
