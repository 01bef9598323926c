"""Keepalive packets: bytes in, values out, and back.

    request   IPv4 A->B | GRE 0x0800 | IPv4 B->A | GRE 0
    reply                              IPv4 B->A | GRE 0

The reply is the request's inner packet, sent on by the far end as it forwards any other; only its
TTL may have changed. With a key (RFC 2890) both GRE headers carry it. The dialect is Cisco's
("GRE Tunnel Keepalives", document 118370); headers are RFC 791 and RFC 2784. IPv4 underlay only:
IOS has no keepalive over IPv6, and nothing that reflects it exists to speak to.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from bongsu.protocol.checksum import checksum

IPPROTO_GRE = 47
TTL = 255

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_GRE = struct.Struct("!HH")
_KEY = struct.Struct("!I")

_KEY_BIT = 0x2000
_ETHERTYPE_IPV4 = 0x0800
_KEEPALIVE = 0x0000
_MORE_OR_OFFSET = 0x3FFF


class Reason(StrEnum):
    """Why a packet is no keepalive reply of ours."""

    TRUNCATED = "truncated"
    NOT_IPV4 = "not IPv4"
    BAD_CHECKSUM = "bad IPv4 header checksum"
    FRAGMENT = "fragment"
    NOT_GRE = "not GRE"
    BAD_FLAGS = "GRE version, checksum, sequence or reserved bits"
    NOT_KEEPALIVE = "GRE protocol type is not 0"
    TRAILING = "bytes after the GRE header"
    WRONG_ENDS = "not between the tunnel's ends"
    WRONG_KEY = "GRE key is not the tunnel's"
    NOT_OURS = "not sent by us"


class RefusedError(Exception):
    """A packet that is not what it should be; the peer's fault or a stranger's, never fatal."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True)
class Ends:
    """A tunnel as keepalives see it."""

    local: IPv4Address
    remote: IPv4Address
    key: int | None = None


@dataclass(frozen=True)
class Reply:
    """A well-formed reply: `source` is the far end."""

    source: IPv4Address
    destination: IPv4Address
    key: int | None
    ttl: int
    identification: int

    def check(self, ends: Ends, identification: int) -> None:
        """Raise RefusedError unless it answers a request made with these arguments."""
        if (self.source, self.destination) != (ends.remote, ends.local):
            raise RefusedError(Reason.WRONG_ENDS)
        if self.key != ends.key:
            raise RefusedError(Reason.WRONG_KEY)
        if self.identification != identification:
            raise RefusedError(Reason.NOT_OURS)


def request(ends: Ends, identification: int = 0, tos: int = 0) -> bytes:
    """A whole keepalive request, outer IPv4 header first: 48 bytes, 56 with a key.

    `identification` (0..65535) goes into the inner header, which the far end does not touch: it
    tells our own reply from one that a stranger made up. Raises struct.error out of range.
    """
    reply = _ipv4(ends.remote, ends.local, identification, tos, _gre(ends.key, _KEEPALIVE))
    return _ipv4(ends.local, ends.remote, 0, tos, _gre(ends.key, _ETHERTYPE_IPV4) + reply)


def parse_reply(data: bytes) -> Reply:
    """Read a packet that begins with its IPv4 header. Raises RefusedError with the reason."""
    if not data or data[0] >> 4 != 4:
        raise RefusedError(Reason.NOT_IPV4 if data else Reason.TRUNCATED)
    header_length = (data[0] & 15) * 4
    if header_length < _IPV4.size or len(data) < header_length:
        raise RefusedError(Reason.TRUNCATED)
    _, _, total, identification, fragment, ttl, protocol, _, source, destination = (
        _IPV4.unpack_from(data)
    )
    if checksum(data[:header_length]) != 0:
        raise RefusedError(Reason.BAD_CHECKSUM)
    if fragment & _MORE_OR_OFFSET:
        raise RefusedError(Reason.FRAGMENT)
    if protocol != IPPROTO_GRE:
        raise RefusedError(Reason.NOT_GRE)
    # Ethernet pads short frames, so there may be more bytes than the packet has.
    if not header_length + _GRE.size <= total <= len(data):
        raise RefusedError(Reason.TRUNCATED)
    flags, kind = _GRE.unpack_from(data, header_length)
    if flags & ~_KEY_BIT:
        raise RefusedError(Reason.BAD_FLAGS)
    if kind != _KEEPALIVE:
        raise RefusedError(Reason.NOT_KEEPALIVE)
    end = header_length + _GRE.size
    key = None
    if flags & _KEY_BIT:
        if total < end + _KEY.size:
            raise RefusedError(Reason.TRUNCATED)
        key = _KEY.unpack_from(data, end)[0]
        end += _KEY.size
    if total != end:
        raise RefusedError(Reason.TRAILING)
    return Reply(IPv4Address(source), IPv4Address(destination), key, ttl, identification)


def _gre(key: int | None, kind: int) -> bytes:
    if key is None:
        return _GRE.pack(0, kind)
    return _GRE.pack(_KEY_BIT, kind) + _KEY.pack(key)


def _ipv4(
    source: IPv4Address, destination: IPv4Address, ident: int, tos: int, data: bytes
) -> bytes:
    fields = (0x45, tos, _IPV4.size + len(data), ident, 0, TTL, IPPROTO_GRE)
    addresses = (source.packed, destination.packed)
    bare = _IPV4.pack(*fields, 0, *addresses)
    return _IPV4.pack(*fields, checksum(bare), *addresses) + data
