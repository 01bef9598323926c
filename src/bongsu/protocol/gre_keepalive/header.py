"""IP and GRE headers of a keepalive: bytes in, values out, and back.

IPv4 is RFC 791, IPv6 is RFC 8200, GRE is RFC 2784 with the key of RFC 2890; GRE over IPv6 is
RFC 7676. Only what a keepalive may carry is read: no IPv4 options, no fragments, of IPv6's
extension headers only the tunnel encapsulation limit (RFC 2473, 4.1.1), which Linux puts before GRE.
"""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from bongsu.model.base import Address, Family
from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive.refusal import Reason, RefusedError

IPPROTO_GRE = 47
ETHERTYPES: dict[Family, int] = {4: 0x0800, 6: 0x86DD}
IDENTIFICATION_BITS: dict[Family, int] = {4: 16, 6: 20}
"""IPv4's identification; IPv6 has none, and its flow label serves (RFC 6437)."""

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_GRE = struct.Struct("!HH")
_WORD = struct.Struct("!I")
_SUM = struct.Struct("!HH")

_MORE_OR_OFFSET = 0x3FFF
_DESTINATION_OPTIONS = 60
_FRAGMENT = 44
_LIMIT = 8
"""Bytes of a destination options header that holds the encapsulation limit and padding."""
_CHECKSUM_BIT = 0x8000
_KEY_BIT = 0x2000


class Ip(NamedTuple):
    """An IPv4 or IPv6 packet whose payload is GRE."""

    source: Address
    destination: Address
    identification: int
    """The flow label over IPv6."""
    ttl: int
    payload: bytes
    length: int
    """Bytes of the whole packet; there may be more in the buffer, for Ethernet pads short frames."""


class Gre(NamedTuple):
    """A GRE header and what follows it."""

    kind: int
    """Protocol type."""
    key: int | None
    checksum: bool
    """It carried one, and it was right."""
    payload: bytes


def read_ip(data: bytes, family: Family | None = None, *, limit: bool = False) -> Ip:
    """Read a packet that begins with its IP header. `limit`: may have an encapsulation limit.

    Raises RefusedError: also when the packet is not of `family`.
    """
    if not data:
        raise RefusedError(Reason.TRUNCATED)
    version = data[0] >> 4
    if version not in READERS or family not in (None, version):
        raise RefusedError(Reason.NOT_IP)
    return READERS[version](data, limit)


def write_ip(
    source: Address,
    destination: Address,
    payload: bytes,
    *,
    identification: int,
    tos: int,
    ttl: int,
) -> bytes:
    """An IP packet that carries GRE. Raises ValueError when a value does not fit its field."""
    if not 0 <= identification < 1 << IDENTIFICATION_BITS[source.version]:
        raise ValueError(f"identification {identification} over IPv{source.version}")
    if not (0 <= tos <= 255 and 1 <= ttl <= 255):
        raise ValueError(f"TOS {tos}, TTL {ttl}")
    addresses = (source.packed, destination.packed)
    if source.version == 6:
        word = 6 << 28 | tos << 20 | identification
        return _IPV6.pack(word, len(payload), IPPROTO_GRE, ttl, *addresses) + payload
    fields = (0x45, tos, _IPV4.size + len(payload), identification, 0, ttl, IPPROTO_GRE)
    bare = _IPV4.pack(*fields, 0, *addresses)
    return _IPV4.pack(*fields, checksum(bare), *addresses) + payload


def forwarded(packet: bytes, destination: Address) -> bytes:
    """The packet as a router sends it on, one hop older, to `destination`; its TTL is above 1."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:24] + destination.packed + packet[40:]
    bare = packet[:8] + bytes([packet[8] - 1]) + packet[9:10] + bytes(2) + packet[12:16]
    bare += destination.packed
    return bare[:10] + checksum(bare).to_bytes(2) + bare[12:] + packet[20:]


def read_gre(data: bytes) -> Gre:
    """Read a GRE header and its payload. Raises RefusedError."""
    if len(data) < _GRE.size:
        raise RefusedError(Reason.TRUNCATED)
    flags, kind = _GRE.unpack_from(data)
    if flags & ~(_CHECKSUM_BIT | _KEY_BIT):
        raise RefusedError(Reason.BAD_FLAGS)
    at = _GRE.size
    if len(data) < at + _SUM.size * bool(flags & _CHECKSUM_BIT) + _WORD.size * bool(
        flags & _KEY_BIT
    ):
        raise RefusedError(Reason.TRUNCATED)
    if flags & _CHECKSUM_BIT:
        if checksum(data + bytes(len(data) % 2)):
            raise RefusedError(Reason.BAD_GRE_CHECKSUM)
        if _SUM.unpack_from(data, at)[1]:
            raise RefusedError(Reason.BAD_FLAGS)
        at += _SUM.size
    key = None
    if flags & _KEY_BIT:
        key = _WORD.unpack_from(data, at)[0]
        at += _WORD.size
    return Gre(kind, key, bool(flags & _CHECKSUM_BIT), data[at:])


def write_gre(kind: int, payload: bytes, key: int | None = None, *, summed: bool = False) -> bytes:
    """A GRE header and its payload; `summed`: with the checksum of RFC 2784."""
    flags = _CHECKSUM_BIT * summed | _KEY_BIT * (key is not None)
    head = _GRE.pack(flags, kind)
    rest = (b"" if key is None else _WORD.pack(key)) + payload
    if not summed:
        return head + rest
    bare = head + bytes(_SUM.size) + rest
    return head + _SUM.pack(checksum(bare + bytes(len(bare) % 2)), 0) + rest


def _read_ipv4(data: bytes, _limit: bool) -> Ip:
    words = data[0] & 15
    if len(data) < _IPV4.size or words < 5:
        raise RefusedError(Reason.TRUNCATED)
    if words > 5:
        raise RefusedError(Reason.OPTIONS)
    _, _, total, identification, fragment, ttl, protocol, _, source, destination = (
        _IPV4.unpack_from(data)
    )
    if checksum(data[: _IPV4.size]) != 0:
        raise RefusedError(Reason.BAD_CHECKSUM)
    if fragment & _MORE_OR_OFFSET:
        raise RefusedError(Reason.FRAGMENT)
    if protocol != IPPROTO_GRE:
        raise RefusedError(Reason.NOT_GRE)
    if not _IPV4.size <= total <= len(data):
        raise RefusedError(Reason.TRUNCATED)
    addresses = IPv4Address(source), IPv4Address(destination)
    return Ip(*addresses, identification, ttl, data[_IPV4.size : total], total)


def _read_ipv6(data: bytes, limit: bool) -> Ip:
    if len(data) < _IPV6.size:
        raise RefusedError(Reason.TRUNCATED)
    word, length, following, ttl, source, destination = _IPV6.unpack_from(data)
    at, total = _IPV6.size, _IPV6.size + length
    if total > len(data):
        raise RefusedError(Reason.TRUNCATED)
    if limit and following == _DESTINATION_OPTIONS:
        if total < at + _LIMIT:
            raise RefusedError(Reason.TRUNCATED)
        following = data[at] if data[at + 1] == 0 else _DESTINATION_OPTIONS
        at += _LIMIT
    if following == _FRAGMENT:
        raise RefusedError(Reason.FRAGMENT)
    if following != IPPROTO_GRE:
        raise RefusedError(Reason.NOT_GRE)
    addresses = IPv6Address(source), IPv6Address(destination)
    return Ip(*addresses, word & 0xFFFFF, ttl, data[at:total], total)


READERS: dict[int, Callable[[bytes, bool], Ip]] = {4: _read_ipv4, 6: _read_ipv6}
