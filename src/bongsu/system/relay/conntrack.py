"""The kernel's connection tracking, as much of it as the kernel relay needs: read flows, end flows.

Linux uapi/linux/netfilter/nfnetlink_conntrack.h. In the namespace that it was opened in.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self

from bongsu.model.base import Address
from bongsu.system import rtnl
from bongsu.system.rtnl import ACK, DUMP, Request, Rtnl

_NETFILTER = 12
"""NETLINK_NETFILTER."""
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_ORIGINAL, _REPLY, _STATUS, _TIMEOUT = 1, 2, 3, 7
_COUNTED_ORIGINAL, _COUNTED_REPLY, _ZONE, _TIMESTAMP, _STATUS_MASK = 9, 10, 18, 20, 26
_IP, _PROTO = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ADDRESSES: Final = {4: (1, 2), 6: (3, 4)}
_PACKETS, _BYTES, _START = 1, 2, 1
_ASSURED, _DST_NAT = 1 << 2, 1 << 5
_PORTS: Final = {6: "tcp", 17: "udp"}


@dataclass(frozen=True)
class Way:
    """One direction of a flow, as its packets are before translation."""

    source: Address
    source_port: int
    destination: Address
    port: int


@dataclass(frozen=True)
class Flow:
    """A connection as the kernel tracks it."""

    protocol: str
    """udp or tcp."""
    original: Way
    reply: Way
    translated: bool
    """Its destination is another than the client asked for."""
    assured: bool
    """Packets went both ways, of TCP the whole handshake."""
    left_s: int
    """Until it is forgotten, if nothing comes."""
    began_ns: int
    """Since 1970; 0 where the kernel does not note it."""
    up: tuple[int, int]
    """Packets and bytes of the original direction; zeros where the kernel does not count."""
    down: tuple[int, int]
    key: bytes
    """The attributes that name it."""


class Conntrack:
    """The table of the calling thread's network namespace."""

    def __init__(self) -> None:
        self._kernel = Rtnl(_NETFILTER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.close()

    def flows(self, family: int, *, translated: bool) -> Iterator[Flow]:
        """UDP and TCP of an IP version: all, or those alone whose destination was translated.

        Errors: RtnlError.
        """
        wanted = _head(family)
        if translated:
            # kernels before 5.16 do not look at it and give all
            for kind in (_STATUS, _STATUS_MASK):
                wanted += rtnl.attribute(kind, struct.pack(">I", _DST_NAT))
        for message in self._kernel.ask(Request(_GET, wanted, DUMP))[0]:
            flow = _flow(message, family)
            if flow is not None and (flow.translated or not translated):
                yield flow

    def end(self, flows: Iterable[Flow]) -> int:
        """Forget these: their next packet begins anew. How many there were. Errors: RtnlError."""
        requests = [
            Request(_DELETE, _head(flow.original.source.version) + flow.key, ACK, (errno.ENOENT,))
            for flow in flows
        ]
        self._kernel.ask(*requests)
        return len(requests)


def _head(family: int) -> bytes:
    return struct.pack("=BBH", _FAMILY[family], 0, 0)


def _flow(message: bytes, family: int) -> Flow | None:
    told = rtnl.attributes(message[4:])
    protocol = _PORTS.get(rtnl.attributes(rtnl.attributes(told[_ORIGINAL])[_PROTO])[_NUMBER][0])
    if protocol is None:
        return None
    (status,) = struct.unpack(">I", told[_STATUS])
    began = rtnl.attributes(told.get(_TIMESTAMP, b"")).get(_START, bytes(8))
    key = rtnl.nest(_ORIGINAL, told[_ORIGINAL])
    if _ZONE in told:
        key += rtnl.attribute(_ZONE, told[_ZONE])
    return Flow(
        protocol=protocol,
        original=_way(told[_ORIGINAL], family),
        reply=_way(told[_REPLY], family),
        translated=bool(status & _DST_NAT),
        assured=bool(status & _ASSURED),
        left_s=int.from_bytes(told.get(_TIMEOUT, b""), "big"),
        began_ns=int.from_bytes(began, "big"),
        up=_counted(told.get(_COUNTED_ORIGINAL, b"")),
        down=_counted(told.get(_COUNTED_REPLY, b"")),
        key=key,
    )


def _way(raw: bytes, family: int) -> Way:
    parts = rtnl.attributes(raw)
    addresses, ports = rtnl.attributes(parts[_IP]), rtnl.attributes(parts[_PROTO])
    source, destination = _ADDRESSES[family]
    return Way(
        ip_address(addresses[source]),
        int.from_bytes(ports[_SOURCE_PORT], "big"),
        ip_address(addresses[destination]),
        int.from_bytes(ports[_DESTINATION_PORT], "big"),
    )


def _counted(raw: bytes) -> tuple[int, int]:
    told = rtnl.attributes(raw)
    return int.from_bytes(told.get(_PACKETS, b""), "big"), int.from_bytes(
        told.get(_BYTES, b""), "big"
    )
