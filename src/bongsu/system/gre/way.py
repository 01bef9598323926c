"""Where the routing table sends a packet at this moment: the way to a tunnel's peer.

Asked of the kernel each time, for a routing daemon may have changed it since. Works in the network
namespace that the Rtnl was opened in.
"""

import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from bongsu.model.base import Address
from bongsu.system import rtnl
from bongsu.system.rtnl import Request, Rtnl

_GETROUTE = 26
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_METRICS, _RTAX_MTU = 1, 2, 4, 8, 2
_RTN_UNICAST = 1
_ROUTE = struct.Struct("=BBBBBBBBI")
_FAMILY: dict[int, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
_NO_WAY = (
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES, errno.EADDRNOTAVAIL,
    errno.ENODEV,
)  # fmt: skip
"""What the kernel says of an unreachable, a blackhole or a prohibited destination, of a source that is
not ours (yet) and of an interface that is down or gone."""


Pair = tuple[Address, Address]


@dataclass(frozen=True)
class Way:
    """The next interface towards a destination."""

    index: int
    """Of the interface that packets leave by."""
    mtu: int | None
    """Learned for this destination, bytes, if anything was."""


def ways(kernel: Rtnl, pairs: list[Pair], by: int | None = None) -> list[Way | None]:
    """Where packets from the first to the second address of each pair go, by the interface `by` if
    one is given; None where nothing leads there, or nowhere but to this machine itself.
    """
    return [_way(answer) for answer in kernel.ask(*(_request(*pair, by) for pair in pairs))]


def recursive(
    kernel: Rtnl, pairs: Mapping[str, Pair], devices: Mapping[int, str]
) -> dict[str, str]:
    """Of these tunnels (by name, with their outer addresses, ours first) those whose way leads into
    one of `devices`, tunnels by ifindex; with the name of that one.
    """
    found = zip(pairs, ways(kernel, list(pairs.values())), strict=True)
    return {name: devices[way.index] for name, way in found if way and way.index in devices}


def pair_of(record: Any) -> Pair:
    """The outer addresses of a tunnel (layout.TUNNEL), ours first."""
    size = 16 if record["family"] == 6 else 4
    local, remote = (ip_address(record[name].tobytes()[:size]) for name in ("local", "remote"))
    return local, remote


def _request(source: Address, target: Address, by: int | None) -> Request:
    bits = target.max_prefixlen
    body = _ROUTE.pack(_FAMILY[target.version], bits, bits, 0, 0, 0, 0, 0, 0)
    body += rtnl.attribute(_RTA_DST, target.packed) + rtnl.attribute(_RTA_SRC, source.packed)
    if by is not None:
        body += rtnl.number(_RTA_OIF, by)
    return Request(_GETROUTE, body, allow=_NO_WAY)


def _way(answer: list[bytes]) -> Way | None:
    if not answer or _ROUTE.unpack_from(answer[0])[7] != _RTN_UNICAST:
        return None
    found = rtnl.attributes(answer[0][_ROUTE.size :])
    mtu = rtnl.attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU)
    return Way(
        int(struct.unpack("=I", found[_RTA_OIF])[0]),
        int(struct.unpack("=I", mtu)[0]) if mtu else None,
    )
