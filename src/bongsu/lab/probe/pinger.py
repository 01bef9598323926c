"""Echo probes from many sources at once, by one thread, timed by the kernel.

Each source is a raw socket in a vantage point's namespace. Sources take turns within the interval,
so that they do not disturb each other. Replies are stamped by the kernel on arrival
(SO_TIMESTAMPNS); a request's time is taken right before it is handed over.
"""

import os
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bongsu.lab.probe.echo import EchoReply, parse, request
from bongsu.model.base import Address
from bongsu.system.netns import socket_in

SO_TIMESTAMPNS = 35
ICMP_FILTER = 1
ICMP6_FILTER = 1
SOL_RAW = 255
RECEIVE_BUFFER = 1 << 20
LAST_REPLY_WAIT_S = 1.0
"""How long a finished run waits for stragglers; more counts as lost, as it does with ping -W 1."""


@dataclass(frozen=True)
class Source:
    """Where to probe from and to."""

    name: str
    netns: str
    address: Address
    target: Address


def icmp_socket(source: Source) -> socket.socket:
    """A raw ICMP or ICMPv6 socket in the source's namespace; not bound yet, never blocking."""
    four = source.address.version == 4
    protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    family = socket.AF_INET if four else socket.AF_INET6
    opened = socket_in(source.netns, family, socket.SOCK_RAW, protocol)
    opened.setblocking(False)
    return opened


@dataclass
class Series:
    """What one source saw. `sent_ns[i]` is CLOCK_MONOTONIC; `rtt_ns[i]` is -1 while unanswered."""

    source: Source
    sent_ns: list[int] = field(default_factory=list)
    rtt_ns: list[int] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Probes without an answer."""
        return sum(rtt < 0 for rtt in self.rtt_ns)

    def answered_since(self, since_ns: int) -> int:
        """How many of the probes sent since then were answered."""
        return sum(
            rtt >= 0
            for sent, rtt in zip(self.sent_ns, self.rtt_ns, strict=False)
            if sent >= since_ns
        )

    def longest_gap_ns(self, since_ns: int = 0) -> int:
        """The longest time without service: from a first lost probe to the next answered one.

        Probes sent before `since_ns` do not count. A gap that has not ended counts up to the last
        probe sent. Resolution is the probe interval.
        """
        longest, began, last = 0, None, 0
        for sent, rtt in zip(self.sent_ns, self.rtt_ns, strict=False):
            if sent < since_ns:
                continue
            last = sent
            if rtt < 0:
                began = sent if began is None else began
            elif began is not None:
                longest = max(longest, sent - began)
                began = None
        if began is not None:
            longest = max(longest, last - began)
        return longest


class _Endpoint:
    def __init__(self, source: Source) -> None:
        self.family = source.address.version
        self.series = Series(source)
        self.ident = secrets.randbelow(0x10000)
        self.token = secrets.randbits(64)
        self.realtime_ns: list[int] = []
        self.socket = icmp_socket(source)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if self.family == 4:
            # a set bit blocks the type: everything but echo replies
            self.socket.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~1 & 0xFFFFFFFF))
        else:
            words = [0xFFFFFFFF] * 8
            words[129 >> 5] &= ~(1 << (129 & 31))
            self.socket.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *words))
        self.socket.bind((str(source.address), 0))

    def send(self) -> None:
        sequence = len(self.series.sent_ns)
        data = request(self.family, self.ident, self.token, sequence)
        self.series.rtt_ns.append(-1)
        self.series.sent_ns.append(time.monotonic_ns())
        self.realtime_ns.append(time.time_ns())
        try:
            self.socket.sendto(data, (str(self.series.source.target), 0))
        except OSError:
            # no route at the moment, or a full queue: a lost probe, as anyone's packet would be
            return

    def receive(self) -> None:
        while True:
            try:
                data, ancillary, _flags, _address = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except OSError:
                continue
            reply = parse(self.family, data)
            if not isinstance(reply, EchoReply) or reply.token != self.token:
                continue
            if reply.sequence >= len(self.realtime_ns) or self.series.rtt_ns[reply.sequence] >= 0:
                continue
            arrived = _timestamp(ancillary) or time.time_ns()
            rtt = arrived - self.realtime_ns[reply.sequence]
            self.series.rtt_ns[reply.sequence] = max(rtt, 0)


class Pinger:
    """Probes every source each `interval_s`; `count` None goes on until `stop`."""

    def __init__(
        self, sources: Sequence[Source], interval_s: float, count: int | None = None
    ) -> None:
        self._endpoints: list[_Endpoint] = []
        try:
            for source in sources:
                self._endpoints.append(_Endpoint(source))
        except BaseException:
            self._close()
            raise
        self._interval_ns = round(interval_s * 1e9)
        self._count = count
        self._stop = threading.Event()
        # not join(): interrupted by Ctrl-C, it takes a thread that runs for one that ended
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._main, name="pinger", daemon=True)

    @property
    def series(self) -> list[Series]:
        """The series, in the sources' order; they grow while the pinger runs."""
        return [endpoint.series for endpoint in self._endpoints]

    def start(self) -> "Pinger":
        """Begin; returns at once."""
        self._thread.start()
        return self

    def wait(self) -> list[Series]:
        """Wait until `count` probes of every source are answered or lost; raises what ended it early."""
        self._ended.wait()
        self._close()
        if self._error is not None:
            raise self._error
        return self.series

    def stop(self) -> list[Series]:
        """Send no more, wait for stragglers, and return the series."""
        self._stop.set()
        os.write(self._wake_write, b"x")
        return self.wait()

    def running(self, wait_s: float) -> bool:
        """Whether it still probes after waiting so long for its end."""
        return not self._ended.wait(wait_s)

    def done(self) -> int:
        """Probes sent so far by the slowest source: for a progress bar."""
        return min((len(endpoint.series.sent_ns) for endpoint in self._endpoints), default=0)

    def _close(self) -> None:
        for endpoint in self._endpoints:
            endpoint.socket.close()
        if hasattr(self, "_wake_read") and self._wake_read >= 0:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = -1

    def _main(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # it is raised again where it can be told
            self._error = error
        finally:
            self._ended.set()

    def _loop(self) -> None:
        poll = select.epoll()
        by_fd = {endpoint.socket.fileno(): endpoint for endpoint in self._endpoints}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        poll.register(self._wake_read, select.EPOLLIN)
        step = self._interval_ns // max(len(self._endpoints), 1)
        begin = time.monotonic_ns()
        turn = 0
        total = None if self._count is None else self._count * len(self._endpoints)
        while not self._stop.is_set() and (total is None or turn < total):
            due = begin + turn * step
            wait = due - time.monotonic_ns()
            if wait <= 0:
                self._endpoints[turn % len(self._endpoints)].send()
                turn += 1
                wait = 0
            for fd, _event in poll.poll(wait / 1e9):
                if fd in by_fd:
                    by_fd[fd].receive()
        self._drain(poll, by_fd)
        poll.close()

    def _drain(self, poll: select.epoll, by_fd: dict[int, _Endpoint]) -> None:
        poll.unregister(self._wake_read)
        deadline = time.monotonic() + LAST_REPLY_WAIT_S
        while (left := deadline - time.monotonic()) > 0:
            if not any(-1 in endpoint.series.rtt_ns[-200:] for endpoint in self._endpoints):
                return
            for fd, _event in poll.poll(left):
                by_fd[fd].receive()


def _timestamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
