"""ICMP and ICMPv6 echo, as bytes (RFC 792, RFC 4443), and what an error quotes of it. No I/O."""

import struct
from dataclasses import dataclass

from bongsu.protocol.checksum import checksum

ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
TIME_EXCEEDED = {4: 11, 6: 3}
UNREACHABLE = {4: 3, 6: 1}

_HEADER = struct.Struct("!BBHHH")
_BODY = struct.Struct("!QQ")
PAYLOAD_BYTES = _BODY.size


@dataclass(frozen=True)
class EchoReply:
    """An answer: the identifier, the run's token and the probe's full sequence number."""

    ident: int
    token: int
    sequence: int


@dataclass(frozen=True)
class EchoError:
    """An ICMP error about one of our probes."""

    type: int
    code: int
    ident: int
    sequence: int
    """The 16 bits that the quoted echo header carries."""


def request(family: int, ident: int, token: int, sequence: int) -> bytes:
    """An echo request. The kernel fills in ICMPv6's checksum, for it needs the pseudo header."""
    body = _BODY.pack(token, sequence)
    kind = ECHO_REQUEST[family]
    bare = _HEADER.pack(kind, 0, 0, ident, sequence & 0xFFFF) + body
    if family == 6:
        return bare
    return _HEADER.pack(kind, 0, checksum(bare), ident, sequence & 0xFFFF) + body


def parse(family: int, data: bytes) -> EchoReply | EchoError | None:
    """What a raw socket received: IPv4 with its IP header, IPv6 without. None if it is not ours."""
    if family == 4:
        if len(data) < 20:
            return None
        data = data[(data[0] & 0x0F) * 4 :]
    if len(data) < _HEADER.size:
        return None
    kind, code, _sum, ident, sequence = _HEADER.unpack_from(data)
    if kind == ECHO_REPLY[family]:
        if len(data) < _HEADER.size + PAYLOAD_BYTES:
            return None
        token, full = _BODY.unpack_from(data, _HEADER.size)
        return EchoReply(ident, token, full)
    if kind not in (TIME_EXCEEDED[family], UNREACHABLE[family]):
        return None
    quoted = data[8:]
    start = 40 if family == 6 else ((quoted[0] & 0x0F) * 4 if quoted else 0)
    if len(quoted) < start + _HEADER.size:
        return None
    inner, _code, _sum, ident, sequence = _HEADER.unpack_from(quoted, start)
    if inner != ECHO_REQUEST[family]:
        return None
    return EchoError(kind, code, ident, sequence)
