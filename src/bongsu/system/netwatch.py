"""What the kernel tells of routes and carriers, as it happens and in its order (rtnetlink(7)).

Looks and never changes anything. Of routes only those that BIRD or FRR have put there, in
whatever table, for what addresses bring is known. In the network namespace of the calling thread.
"""

import contextlib
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from bongsu.model.base import Address, Prefix
from bongsu.system import rtnl

_NEWLINK, _DELLINK, _GETLINK, _NEWROUTE, _DELROUTE = 16, 17, 18, 24, 25
_GROUPS = 0x1 | 0x40 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE."""
_DAEMONS = (12, 186, 196)
"""RTPROT_BIRD, RTPROT_BGP, RTPROT_ZSTATIC: BIRD's routes, and those of FRR's bgpd and staticd."""
_UNICAST = 1
_IFNAME, _CARRIER = 3, 33
_DST, _OIF, _GATEWAY, _MULTIPATH, _TABLE, _VIA = 1, 4, 5, 9, 15, 18
_HEAD = struct.Struct("=IHHII")
_LINK = struct.Struct("=BBHiII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_EVERYTHING = {socket.AF_INET: "0.0.0.0/0", socket.AF_INET6: "::/0"}

BUFFER_BYTES = 1 << 20
"""Some thousand changes at once; of more the kernel says only that they were too many."""
READ_BYTES = 1 << 16
READS = 64
"""Datagrams read in one go, so that a storm of news does not keep an event loop from its timers."""


@dataclass(frozen=True)
class Hop:
    """A next hop; the interface by name, or by number when it is gone."""

    interface: str
    gateway: Address | None


@dataclass(frozen=True)
class RouteChange:
    """A route of a routing daemon's that has come, or gone."""

    there: bool
    table: int
    prefix: Prefix
    hops: tuple[Hop, ...]
    """None for a route that refuses: blackhole, unreachable."""


@dataclass(frozen=True)
class CarrierChange:
    """An interface that has lost its carrier, or has it back."""

    there: bool
    interface: str


Change = RouteChange | CarrierChange


class NetWatch:
    """A subscription; close it. `fileno` is readable when there are news."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((0, _GROUPS))
        self._carriers: dict[int, bool] = {}
        self.overrun = 0
        """How often the kernel had more to tell than there was room for."""
        self._ask()

    def fileno(self) -> int:
        """For an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def read(self) -> list[Change]:
        """What has happened since the last time, in the kernel's order; never waits."""
        found: list[Change] = []
        before = self.overrun
        for _ in range(READS):
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                # ENOBUFS: the kernel has thrown some away, and goes on with the next.
                self.overrun += 1
                continue
            found += self._parse(data)
        if self.overrun != before:
            # What is refused now is asked the next time that something is lost.
            with contextlib.suppress(OSError):
                self._ask()
        return found

    def _ask(self) -> None:
        # The answer comes among the news: what the first of them are compared with, and later on what
        # was not heard of.
        ask = _LINK.pack(0, 0, 0, 0, 0, 0)
        flags = rtnl.REQUEST | rtnl.DUMP
        self._socket.send(_HEAD.pack(_HEAD.size + len(ask), _GETLINK, flags, 1, 0) + ask)

    def _parse(self, data: bytes) -> list[Change]:
        found: list[Change] = []
        at = 0
        while at + _HEAD.size <= len(data):
            size, kind, _flags, _sequence, _port = _HEAD.unpack_from(data, at)
            if size < _HEAD.size or at + size > len(data):
                break
            body = data[at + _HEAD.size : at + size]
            change: Change | None = None
            if kind in (_NEWROUTE, _DELROUTE) and len(body) >= _ROUTE.size:
                change = route_change(kind == _NEWROUTE, body)
            elif kind in (_NEWLINK, _DELLINK) and len(body) >= _LINK.size:
                change = self._carrier(kind == _NEWLINK, body)
            if change is not None:
                found.append(change)
            at += size + (-size % 4)
        return found

    def _carrier(self, there: bool, body: bytes) -> CarrierChange | None:
        family, _, _, index, _, _ = _LINK.unpack_from(body)
        attributes = rtnl.attributes(body[_LINK.size :])
        if family or _CARRIER not in attributes:
            return None  # a bridge's port, told a second time
        if not there:
            self._carriers.pop(index, None)
            return None
        carrier = attributes[_CARRIER] == b"\x01"
        before = self._carriers.get(index)
        self._carriers[index] = carrier
        if before is None or before == carrier:
            return None
        return CarrierChange(carrier, attributes[_IFNAME].rstrip(b"\0").decode())


def route_change(there: bool, body: bytes) -> RouteChange | None:
    """A message of type RTM_NEWROUTE or RTM_DELROUTE, header cut off; None if it is not BIRD's."""
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
    if protocol not in _DAEMONS or family not in _EVERYTHING:
        return None
    attributes = rtnl.attributes(body[_ROUTE.size :])
    try:
        prefix: Prefix = ip_network(_EVERYTHING[family])
        if _DST in attributes:
            prefix = ip_network((attributes[_DST], length))
        if _TABLE in attributes:
            (table,) = struct.unpack("=I", attributes[_TABLE])
        hops = tuple(_hops(attributes)) if kind == _UNICAST else ()
    except (ValueError, struct.error):
        return None  # said otherwise than by any kernel so far
    return RouteChange(there, table, prefix, hops)


def _hops(attributes: dict[int, bytes]) -> list[Hop]:
    found: list[Hop] = []
    if _OIF in attributes:
        (index,) = struct.unpack("=I", attributes[_OIF])
        found.append(Hop(_name(index), _gateway(attributes)))
    data, at = attributes.get(_MULTIPATH, b""), 0
    while at + _HOP.size <= len(data):
        size, _flags, _weight, index = _HOP.unpack_from(data, at)
        if size < _HOP.size:
            break
        inside = rtnl.attributes(data[at + _HOP.size : at + size])
        found.append(Hop(_name(index), _gateway(inside)))
        at += size + (-size % 4)
    return found


def _gateway(attributes: dict[int, bytes]) -> Address | None:
    if _GATEWAY in attributes:
        return ip_address(attributes[_GATEWAY])
    # A next hop of the other family has its family in front.
    via = attributes.get(_VIA)
    return ip_address(via[2:]) if via else None


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)
