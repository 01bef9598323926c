"""The routers a probe passes, found by limiting its TTL; many sources at once.

All hop limits are tried together, and what stays silent is asked again: a path of n hops takes as
long as its slowest router, not n times that.
"""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from secrets import randbelow, randbits

from bongsu.lab.probe.echo import TIME_EXCEEDED, EchoError, EchoReply, parse, request
from bongsu.lab.probe.pinger import Source, icmp_socket
from bongsu.model.base import Address

MAX_HOPS = 24
TRIES = 3
TRY_S = 1.0


@dataclass(frozen=True)
class Path:
    """The routers from the source on, None where one is silent; and whether the target answered."""

    source: Source
    hops: tuple[Address | None, ...]
    reached: bool


class _Walk:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.family = source.address.version
        self.ident = randbelow(0x10000)
        self.token = randbits(64)
        self.hops: dict[int, Address] = {}
        self.end: int | None = None
        self.socket = icmp_socket(source)
        self.socket.bind((str(source.address), 0))

    def send(self) -> None:
        level, option = (
            (socket.IPPROTO_IP, socket.IP_TTL)
            if self.family == 4
            else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        )
        for limit in range(1, (self.end or MAX_HOPS) + 1):
            if limit in self.hops or limit == self.end:
                continue
            self.socket.setsockopt(level, option, limit)
            data = request(self.family, self.ident, self.token, limit)
            try:
                self.socket.sendto(data, (str(self.source.target), 0))
            except OSError:
                return

    def receive(self) -> None:
        while True:
            try:
                data, sender = self.socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue
            seen = parse(self.family, data)
            if isinstance(seen, EchoReply) and seen.token == self.token:
                self.end = min(self.end or MAX_HOPS, seen.sequence)
            elif isinstance(seen, EchoError) and self._is_hop(seen):
                self.hops[seen.sequence] = ip_address(sender[0])

    def _is_hop(self, seen: EchoError) -> bool:
        return seen.ident == self.ident and seen.type == TIME_EXCEEDED[self.family]

    @property
    def complete(self) -> bool:
        return self.end is not None and all(hop in self.hops for hop in range(1, self.end))

    def path(self) -> Path:
        last = self.end if self.end is not None else max(self.hops, default=0) + 1
        return Path(
            self.source,
            tuple(self.hops.get(hop) for hop in range(1, last)),
            self.end is not None,
        )


def trace(sources: Sequence[Source]) -> list[Path]:
    """The paths of all sources to their targets, in the same order."""
    walks: list[_Walk] = []
    try:
        for source in sources:
            walks.append(_Walk(source))
        for _ in range(TRIES):
            open_walks = {w.socket.fileno(): w for w in walks if not w.complete}
            if not open_walks:
                break
            _one_try(open_walks)
        return [walk.path() for walk in walks]
    finally:
        for walk in walks:
            walk.socket.close()


def _one_try(walks: dict[int, _Walk]) -> None:
    with select.epoll() as poll:
        for fd, walk in walks.items():
            poll.register(fd, select.EPOLLIN)
            walk.send()
        deadline = time.monotonic() + TRY_S
        while (left := deadline - time.monotonic()) > 0:
            if all(walk.complete for walk in walks.values()):
                return
            for fd, _event in poll.poll(left):
                walks[fd].receive()
