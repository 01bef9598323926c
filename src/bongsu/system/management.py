"""The way to the tower: a TCP connection that may live in another network namespace or be held to one
interface, so that management traffic has its own network (a separate one on every node).
"""

import socket
from dataclasses import dataclass

from bongsu.system.netns import in_netns

CONNECT_S = 10.0


@dataclass(frozen=True)
class Place:
    """Where a node's management traffic goes out."""

    netns: str | None = None
    """A named namespace; None: where the agent is."""
    interface: str | None = None
    """Held to this interface (SO_BINDTODEVICE); None: by the routes."""


def connect(host: str, port: int, place: Place) -> socket.socket:
    """A connected TCP socket that belongs to the place. Blocks. Raises OSError, NetnsError.

    Names are looked up from inside the namespace; each address is tried until one answers.
    """
    failed: OSError | None = None
    with in_netns(place.netns):
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            found = socket.socket(family, kind, protocol)
            try:
                if place.interface is not None:
                    device = place.interface.encode()
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                found.settimeout(CONNECT_S)
                found.connect(address)
                found.setblocking(False)
            except OSError as error:
                found.close()
                failed = error
                continue
            return found
    raise failed if failed is not None else OSError(f"{host}: no address")


def split(address: str) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 address in brackets. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    inside = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not inside or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not HOST:PORT ([IPv6]:PORT)")
    if ":" in inside and inside == host:
        raise ValueError(f"{address!r}: an IPv6 address stands in brackets")
    return inside, int(port)
