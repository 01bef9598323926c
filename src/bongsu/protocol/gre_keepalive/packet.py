"""Keepalive packets: the request that carries its own answer, and the answer come back.

    request   IP A->B | GRE 0x0800 | IP B->A | GRE 0 [| nonce]
    reply                            IP B->A | GRE 0 [| nonce]

The reply is the request's inner packet, sent on by the far end as it forwards any other; only its
TTL and its class may have changed. This is Cisco's form ("GRE Tunnel Keepalives", document 118370);
`dialects` has the others. A key or a checksum of the tunnel is in both GRE headers.
"""

from dataclasses import dataclass

from bongsu.model.base import Address, Family
from bongsu.model.tunnel import Dialect
from bongsu.protocol.gre_keepalive.dialects import FORMS, KEEPALIVE
from bongsu.protocol.gre_keepalive.header import (
    ETHERTYPES,
    IDENTIFICATION_BITS,
    Gre,
    Ip,
    read_gre,
    read_ip,
    write_gre,
    write_ip,
)
from bongsu.protocol.gre_keepalive.refusal import Reason, RefusedError

TTL = 255
NONCE = 8
"""Bytes of a nonce."""
SLOT_BITS = 5
SLOTS = 1 << SLOT_BITS
"""Outstanding requests that can be told apart."""


@dataclass(frozen=True)
class Ends:
    """A tunnel as keepalives see it. ValueError if two addresses are not of one family."""

    local: Address
    remote: Address
    key: int | None = None
    inside: tuple[Address, Address] | None = None
    """Inside addresses, ours first; only some dialects need them."""
    checksum: bool = False
    """GRE headers carry a checksum."""

    def __post_init__(self) -> None:
        for one, other in ((self.local, self.remote), self.inside or (self.local, self.local)):
            if one.version != other.version:
                raise ValueError(f"{one} and {other} are not of one family")
        if self.key is not None and not 0 <= self.key <= 0xFFFFFFFF:
            raise ValueError(f"GRE key {self.key}")

    def inner(self, dialect: Dialect) -> tuple[Address, Address]:
        """Our address and the peer's on an inner packet. ValueError if the dialect's are missing."""
        if not FORMS[dialect].inside:
            return self.local, self.remote
        if self.inside is None:
            raise ValueError(f"keepalives of {dialect} need the tunnel's inside addresses")
        return self.inside


@dataclass(frozen=True)
class Reply:
    """A well-formed reply: `source` is the far end."""

    source: Address
    destination: Address
    key: int | None
    ttl: int
    """Of the packet that we had put inside."""
    identification: int
    nonce: bytes | None = None
    inside: tuple[Address, Address] | None = None
    """As in Ends, of a dialect whose answers come through the tunnel."""
    checksum: bool = False

    def check(
        self,
        ends: Ends,
        identification: int,
        nonce: bytes | None = None,
        dialect: Dialect = Dialect.CISCO,
    ) -> None:
        """Raise RefusedError unless it answers a request made with these arguments."""
        if (self.source, self.destination) != (ends.remote, ends.local):
            raise RefusedError(Reason.WRONG_ENDS)
        if (self.key, self.checksum) != (ends.key, ends.checksum):
            raise RefusedError(Reason.WRONG_KEY)
        if self.inside != (ends.inner(dialect) if FORMS[dialect].inside else None):
            raise RefusedError(Reason.WRONG_INNER)
        if self.identification != identification:
            raise RefusedError(Reason.NOT_OURS)
        if self.nonce != nonce:
            raise RefusedError(Reason.WRONG_NONCE)


def identify(slot: int, random: int, family: Family = 4) -> int:
    """Identification of the request in `slot` (0..31), the bits above it random.

    11 random bits over IPv4, 15 over IPv6. Raises ValueError for a slot out of range.
    """
    if not 0 <= slot < SLOTS:
        raise ValueError(f"slot {slot}: 0 to {SLOTS - 1}")
    return (random << SLOT_BITS | slot) & ((1 << IDENTIFICATION_BITS[family]) - 1)


def slot_of(identification: int) -> int:
    """The slot of the request that this identifies."""
    return identification % SLOTS


def inner(
    ends: Ends,
    identification: int = 0,
    tos: int = 0,
    *,
    nonce: bytes | None = None,
    dialect: Dialect = Dialect.CISCO,
) -> bytes:
    """The inner packet, IP header first: what the far end is to send back.

    It is 24 bytes over IPv4 and 44 over IPv6; 4 more with a key, 4 with a checksum, 8 with a nonce.
    Raises ValueError when an argument is out of range or missing.
    """
    if nonce is not None and len(nonce) != NONCE:
        raise ValueError(f"a nonce has {NONCE} bytes")
    ours, theirs = ends.inner(dialect)
    form = FORMS[dialect]
    gre = write_gre(form.mark(ours.version), nonce or b"", ends.key, summed=ends.checksum)
    return write_ip(theirs, ours, gre, identification=identification, tos=tos, ttl=form.ttl)


def gre_payload(
    ends: Ends,
    identification: int = 0,
    tos: int = 0,
    *,
    nonce: bytes | None = None,
    dialect: Dialect = Dialect.CISCO,
) -> bytes:
    """The request without its outer IP header, for a raw socket of protocol 47."""
    packet = inner(ends, identification, tos, nonce=nonce, dialect=dialect)
    kind = FORMS[dialect].outer(ends.inner(dialect)[0].version)
    return write_gre(kind, packet, ends.key, summed=ends.checksum)


def request(
    ends: Ends,
    identification: int = 0,
    tos: int = 0,
    *,
    ttl: int = TTL,
    nonce: bytes | None = None,
    dialect: Dialect = Dialect.CISCO,
) -> bytes:
    """A whole keepalive request, outer IP header first: 48 bytes over IPv4, 88 over IPv6.

    `identification` (16 bits, over IPv6 the 20 of the flow label) goes into the inner header, which
    the far end does not touch: it tells our own reply from one that a stranger made up, and the
    nonce (8 random bytes) does so beyond guessing. `tos` is put on both headers. ValueError as above.
    """
    payload = gre_payload(ends, identification, tos, nonce=nonce, dialect=dialect)
    return write_ip(ends.local, ends.remote, payload, identification=0, tos=tos, ttl=ttl)


def parse_reply(data: bytes, dialect: Dialect = Dialect.CISCO) -> Reply:
    """Read a packet that begins with its IP header. Raises RefusedError with the reason."""
    form = FORMS[dialect]
    outer = read_ip(data, limit=True)
    gre = read_gre(outer.payload)
    if not form.inside:
        return _reply(outer, outer, gre, gre, form.mark(outer.source.version))
    families = {kind: family for family, kind in ETHERTYPES.items()}
    if gre.kind not in families:
        raise RefusedError(Reason.NOT_KEEPALIVE)
    packet = read_ip(gre.payload, families[gre.kind])
    return _reply(outer, packet, gre, read_gre(packet.payload), form.mark(packet.source.version))


def payload_after(gre: Gre) -> bytes:
    """What follows a keepalive's GRE header: mostly nothing. Raises RefusedError if it is data."""
    # A protocol type that stands for IP too is a keepalive's only where no IP header follows.
    if gre.kind != KEEPALIVE and len(gre.payload) not in (0, NONCE):
        raise RefusedError(Reason.NOT_KEEPALIVE)
    return gre.payload


def _reply(outer: Ip, packet: Ip, outer_gre: Gre, gre: Gre, mark: int) -> Reply:
    if gre.kind != mark:
        raise RefusedError(Reason.NOT_KEEPALIVE)
    nonce = payload_after(gre)
    if len(nonce) not in (0, NONCE):
        raise RefusedError(Reason.TRAILING)
    if (outer_gre.key, outer_gre.checksum) != (gre.key, gre.checksum):
        raise RefusedError(Reason.WRONG_KEY)
    return Reply(
        outer.source,
        outer.destination,
        gre.key,
        packet.ttl,
        packet.identification,
        nonce or None,
        (packet.destination, packet.source) if packet is not outer else None,
        gre.checksum,
    )
