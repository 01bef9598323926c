"""The other side: what a tunnel's end takes for its peer's request, and the answer to it.

A router needs no such thing, it forwards what was inside. Where this has to be done in the stack's
place, it is done for a configured peer only: the answer goes to the peer's outer address and to
nobody else, whatever stands inside, so that no stranger makes a reflector of us (CVE-2024-7595).
"""

from dataclasses import dataclass

from bongsu.model.base import Address
from bongsu.model.tunnel import Dialect
from bongsu.protocol.gre_keepalive.dialects import FORMS, KEEPALIVE
from bongsu.protocol.gre_keepalive.header import (
    ETHERTYPES,
    Ip,
    forwarded,
    read_gre,
    read_ip,
    write_gre,
    write_ip,
)
from bongsu.protocol.gre_keepalive.packet import TTL, Ends, payload_after
from bongsu.protocol.gre_keepalive.refusal import Reason, RefusedError


@dataclass(frozen=True)
class Request:
    """A request of the tunnel's peer."""

    inner: bytes
    """The packet that was inside, as it came."""
    destination: Address
    """Where it goes, which is not always what stands in it."""
    ttl: int
    """Of the inner packet, before it goes on."""
    tunnelled: bool
    """The answer goes back through the tunnel."""


def parse_request(data: bytes, ends: Ends, dialect: Dialect = Dialect.CISCO) -> Request:
    """Read a packet that begins with its IP header; `ends` are ours, `dialect` is the peer's.

    Raises RefusedError with the reason; ValueError when `ends` lack what the dialect needs.
    """
    form = FORMS[dialect]
    outer = read_ip(data, limit=True)
    gre = read_gre(outer.payload)
    if (outer.source, outer.destination) != (ends.remote, ends.local):
        raise RefusedError(Reason.WRONG_ENDS)
    if (gre.key, gre.checksum) != (ends.key, ends.checksum):
        raise RefusedError(Reason.WRONG_KEY)
    family = form.carried(gre.kind)
    if family is None:
        raise RefusedError(Reason.NOT_KEEPALIVE)
    packet = read_ip(gre.payload, family)
    mark = read_gre(packet.payload)
    if mark.kind not in (KEEPALIVE, form.mark(family)):
        raise RefusedError(Reason.NOT_KEEPALIVE)
    payload_after(mark)
    # A peer may leave the key out of the answer that it wants; it may not have another.
    if mark.key not in (None, ends.key):
        raise RefusedError(Reason.WRONG_KEY)
    destination, tunnelled = _way_back(packet, ends, dialect)
    if packet.ttl <= 1:
        raise RefusedError(Reason.TTL_SPENT)
    return Request(gre.payload[: packet.length], destination, packet.ttl, tunnelled)


def reflect(
    data: bytes, ends: Ends, dialect: Dialect = Dialect.CISCO, *, tos: int = 0, ttl: int = TTL
) -> bytes:
    """The answer to a peer's request, IP header first: what was inside, one hop older.

    `tos` and `ttl` are the tunnel's, for a dialect whose answers go through it. Raises as
    parse_request does.
    """
    found = parse_request(data, ends, dialect)
    answer = forwarded(found.inner, found.destination)
    if not found.tunnelled:
        return answer
    kind = ETHERTYPES[found.destination.version]
    gre = write_gre(kind, answer, ends.key, summed=ends.checksum)
    return write_ip(ends.local, ends.remote, gre, identification=0, tos=tos, ttl=ttl)


def _way_back(packet: Ip, ends: Ends, dialect: Dialect) -> tuple[Address, bool]:
    """Where the answer goes, and whether through the tunnel."""
    form = FORMS[dialect]
    if (packet.source, packet.destination) == (ends.local, ends.remote):
        return ends.remote, False
    if form.inside and (packet.source, packet.destination) == ends.inner(dialect):
        return packet.destination, True
    if form.readdresses and packet.source == ends.local:
        return ends.remote, False
    raise RefusedError(Reason.WRONG_INNER)
