"""Sockets for path probes: ICMP or UDP out with a hop limit of one's own, ICMP in, timed by the kernel.

What is in the packets is not known here. The kernel stamps arrivals (SO_TIMESTAMPNS), and departures
when they are handed to the interface's queue (SO_TIMESTAMPING, SCHED): a process that is held up before
it sends or reads does not lengthen what it measures. Its stamps are of the wall clock and are told as
monotonic time: the age that a stamp shows is taken off the time of reading, so that a clock that is set
moves at most what is being read that moment.
"""

import contextlib
import ctypes
import errno
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

from bongsu.model.base import Address
from bongsu.system.netns import in_netns, socket_in
from bongsu.system.stamps import (
    CLOCK_APART_NS,
    SO_TIMESTAMPING,
    SO_TIMESTAMPNS,
    monotonic,
    stamp_of,
)

TX_SCHED_ONLY = 1 << 8 | 1 << 4 | 1 << 11
"""SOF_TIMESTAMPING_TX_SCHED, _SOFTWARE and _OPT_TSONLY (the stamp without the packet)."""
SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
_BPF_RETURN_0 = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""One instruction of classic BPF: keep 0 bytes, which is none of the packet."""
SOL_RAW = 255
ICMP_FILTER = 1
RECEIVE_BUFFER = 1 << 22
"""Bytes: some seconds of answers at a probe a millisecond."""
LARGEST = 4096
AT_ONCE = 256
"""Packets taken in one go, so that a flood does not keep the sender from sending."""
ORDINARY_TTL = 64
_PATIENT = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EPERM,
        errno.ECONNREFUSED,
        errno.EADDRNOTAVAIL,
        errno.EINVAL,
        errno.ENODEV,
        errno.ENOMEM,
    }
)
"""What may pass: no route, no source address (EINVAL) or no interface at the moment, a full queue, a
rule that drops. A lost probe, no error: a measurement of days outlives it."""

_WANTED = {4: (0, 3, 11), 6: (1, 2, 3, 129)}
"""ICMP types let in: replies, and errors about probes."""


def source_towards(netns: str | None, target: Address) -> Address | None:
    """The address that this machine, or a namespace, would send from; None without a route."""
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    with socket_in(netns, family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(target), 9))
        except OSError:
            return None
        return ip_address(probe.getsockname()[0])


class PathSocket:
    """Probes of one flow. PermissionError without CAP_NET_RAW, OSError if the source is not ours."""

    def __init__(self, netns: str | None, source: Address, target: Address, number: int) -> None:
        """`number` is the probes' IP protocol."""
        self._target = (str(target), 0)
        four = target.version == 4
        family = socket.AF_INET if four else socket.AF_INET6
        icmp = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
        level, option = (
            (socket.IPPROTO_IP, socket.IP_TTL)
            if four
            else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        )
        self._limit = (level, option)
        self._ttl: int | None = None
        with contextlib.ExitStack() as opened, in_netns(netns):
            self._in = opened.enter_context(socket.socket(family, socket.SOCK_RAW, icmp))
            self._out = self._in
            self._held: socket.socket | None = None
            if number != icmp:
                self._out = opened.enter_context(socket.socket(family, socket.SOCK_RAW, number))
                _let_nothing_in(self._out)
                # holds a source port that nobody else gets meanwhile; nothing is read from it
                self._held = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                self._held.bind((str(source), 0))
                self._out.bind((str(source), 0))
            self._in.bind((str(source), 0))
            self._in.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            with contextlib.suppress(OSError):
                self._out.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SCHED_ONLY)
            with contextlib.suppress(PermissionError):
                self._in.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            self._filter(target.version)
            self._in.setblocking(False)
            self._out.setblocking(False)
            self._keep = opened.pop_all()

    @property
    def port(self) -> int:
        """The UDP port held for the probes' source; 0 for ICMP."""
        return 0 if self._held is None else int(self._held.getsockname()[1])

    def fileno(self) -> int:
        """For select: readable when something arrived."""
        return self._in.fileno()

    def send(self, data: bytes, ttl: int) -> tuple[int, OSError | None]:
        """Send, 0 for an ordinary hop limit: when it went (CLOCK_MONOTONIC, ns), or what kept it.

        OSError for what will not pass.
        """
        if ttl != self._ttl:
            self._out.setsockopt(*self._limit, ttl or ORDINARY_TTL)
            self._ttl = ttl
        before = time.monotonic_ns()
        try:
            self._out.sendto(data, self._target)
        except OSError as error:
            if error.errno not in _PATIENT:
                raise
            return before, error
        return self._departed(before, time.monotonic_ns()), None

    def receive(self) -> Iterator[tuple[bytes, Address, int]]:
        """What has arrived: packet, sender, and when (CLOCK_MONOTONIC, ns)."""
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _flags, sender = self._in.recvmsg(LARGEST, 128)
            except BlockingIOError:
                # an unread stamp would keep select awake
                self._departed(0, 0)
                return
            except OSError:
                continue  # an error that an earlier probe met
            yield data, ip_address(sender[0].partition("%")[0]), monotonic(stamp_of(ancillary))

    def _departed(self, before: int, after: int) -> int:
        """The kernel's stamp of what was sent between the two; `before` if it has none.

        A packet that waited for its neighbour's address is stamped later: that is not this one's.
        """
        found = None
        for _ in range(AT_ONCE):
            try:
                _data, ancillary, _flags, _to = self._out.recvmsg(1, 256, socket.MSG_ERRQUEUE)
            except OSError:
                break
            stamp = stamp_of(ancillary)
            if stamp is None or found is not None:
                continue
            moment = monotonic(stamp)
            if before - CLOCK_APART_NS <= moment <= after + CLOCK_APART_NS:
                found = max(moment, before)
        return before if found is None else found

    def close(self) -> None:
        """Close the sockets."""
        self._keep.close()

    def _filter(self, family: int) -> None:
        words = [0xFFFFFFFF] * (1 if family == 4 else 8)
        for kind in _WANTED[family]:
            # a set bit keeps the type out
            words[kind >> 5] &= ~(1 << (kind & 31)) & 0xFFFFFFFF
        data = struct.pack(f"={len(words)}I", *words)
        level = SOL_RAW if family == 4 else socket.IPPROTO_ICMPV6
        self._in.setsockopt(level, ICMP_FILTER, data)


def _let_nothing_in(raw: socket.socket) -> None:
    """A raw UDP socket is given a copy of all UDP there is; this one only sends (socket(7))."""
    program = ctypes.create_string_buffer(_BPF_RETURN_0)
    raw.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program))
    )
