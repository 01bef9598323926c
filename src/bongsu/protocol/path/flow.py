"""The probes of one measurement as bytes, and which answers are theirs.

ICMP echo (RFC 792, RFC 4443) or UDP. Every probe of a measurement has the same ports, identifier and
checksum, so that routers which share load by them send all of them the same way (Augustin et al.,
"Avoiding traceroute anomalies with Paris traceroute", 2006); two bytes of the payload make up for
what changes. The payload carries the probe's number and its HMAC under a key that nobody else has:
whoever has not seen the probe cannot answer for it. Routers that quote no more than RFC 792 asks for
(8 bytes) are believed for 32 bits that were drawn at random and a number in flight.
"""

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Literal, NamedTuple

from bongsu.model.base import Address, Family
from bongsu.protocol.checksum import checksum

Protocol = Literal["icmp", "udp"]

ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
TIME_EXCEEDED = {4: 11, 6: 3}
UNREACHABLE = {4: 3, 6: 1}
PACKET_TOO_BIG6 = 2
TOO_BIG6 = 200
"""The `code` of Packet Too Big, which in ICMPv6 is a type of its own."""
PORT_UNREACHABLE = {4: 3, 6: 4}
IP_HEADER = {4: 20, 6: 40}
NUMBERS = {("icmp", 4): 1, ("icmp", 6): 58, ("udp", 4): 17, ("udp", 6): 17}
"""IANA's protocol numbers."""

UDP_PORT = 33434
"""Where traceroute begins; nobody listens there."""

_HEADER = struct.Struct("!BBHHH")
_UDP = struct.Struct("!HHHH")
_PAYLOAD = struct.Struct("!Q16sH")
_NUMBER = struct.Struct("!Q")
TAG_BYTES = 16

MINIMUM = {family: IP_HEADER[family] + _HEADER.size + _PAYLOAD.size for family in (4, 6)}
"""The shortest probe, with its IP header."""
LONGEST = 9000
DEFAULT_SIZE = 64
"""As mtr has it, with the IP header; IPv6 probes are as long as they must be."""
SHORT = 65534
"""How many numbers the 16 bits of a header tell apart: a checksum is neither 0 nor 0xFFFF."""


class Kind(IntEnum):
    """What became of a probe."""

    LOST = 0
    REPLY = 1
    """The target answered: an echo reply, or that nobody listens on the port."""
    EXCEEDED = 2
    """A router's answer: the hop limit was used up."""
    UNREACHABLE = 3
    """Somebody says that it goes no further; `code` says why."""


class Answer(NamedTuple):
    """An answer to a probe of ours."""

    sequence: int
    kind: Kind
    code: int


@dataclass(frozen=True)
class Flow:
    """What all probes of a measurement have in common. Ports, key and the like are drawn by the caller."""

    protocol: Protocol
    source: Address
    target: Address
    key: bytes
    ident: int
    """ICMP's identifier, or UDP's source port: 1 to 65535."""
    constant: int
    """ICMP's checksum; of UDP, whose checksum numbers the probes, where they begin: 1 to 65534."""
    port: int = UDP_PORT
    size: int = DEFAULT_SIZE
    """Bytes, with the IP header."""

    @property
    def family(self) -> Family:
        """4 or 6."""
        return self.target.version

    @property
    def number(self) -> int:
        """The IP protocol of the probes."""
        return NUMBERS[self.protocol, self.family]

    @cached_property
    def _length(self) -> int:
        return max(self.size, MINIMUM[self.family]) - IP_HEADER[self.family]

    @cached_property
    def _pad(self) -> bytes:
        return bytes(self._length - _HEADER.size - _PAYLOAD.size)

    @cached_property
    def _pseudo(self) -> bytes:
        """What is summed up besides (RFC 768, RFC 8200 section 8.1)."""
        if self.protocol == "icmp" and self.family == 4:
            return b""
        ends = self.source.packed + self.target.packed
        if self.family == 4:
            return ends + struct.pack("!BBH", 0, self.number, self._length)
        return ends + struct.pack("!I3xB", self._length, self.number)

    def encode(self, sequence: int) -> bytes:
        """Probe number `sequence`, without its IP header."""
        header = self._header(sequence)
        return header + self._body(sequence, header)

    def decode(self, data: bytes, sender: Address, latest: int) -> Answer | None:
        """The answer in what a raw ICMP socket received (IPv4 with its IP header, IPv6 without).

        `latest` is the number of the last probe sent. None if it is no answer to a probe of ours.
        """
        if self.family == 4:
            inner = _after_ipv4(data, NUMBERS["icmp", 4])
            if inner is None or not _sound(inner):
                return None
            data = inner
        if len(data) < _HEADER.size:
            return None
        kind, code = data[0], data[1]
        if kind == ECHO_REPLY[self.family]:
            return self._reply(data, sender)
        exceeded = kind == TIME_EXCEEDED[self.family] and code == 0
        refused = kind == UNREACHABLE[self.family]
        too_big = self.family == 6 and kind == PACKET_TOO_BIG6
        if not exceeded and not refused and not too_big:
            return None
        sequence = self._quoted(data[_HEADER.size :], latest)
        if sequence is None:
            return None
        if exceeded:
            return Answer(sequence, Kind.EXCEEDED, 0)
        closed = refused and code == PORT_UNREACHABLE[self.family]
        if closed and self.protocol == "udp" and sender == self.target:
            return Answer(sequence, Kind.REPLY, code)
        return Answer(sequence, Kind.UNREACHABLE, TOO_BIG6 if too_big else code)

    def _reply(self, data: bytes, sender: Address) -> Answer | None:
        ident = int.from_bytes(data[4:6])
        if self.protocol != "icmp" or ident != self.ident or sender != self.target:
            return None
        sequence = self._verified(data[_HEADER.size :])
        return None if sequence is None else Answer(sequence, Kind.REPLY, 0)

    def _quoted(self, quote: bytes, latest: int) -> int | None:
        """The number of our probe that an error quotes."""
        inner = self._quoted_payload(quote)
        if inner is None or len(inner) < _HEADER.size:
            return None
        body = inner[_HEADER.size :]
        if len(body) >= _PAYLOAD.size:
            # A NAT on the way may have written over the quoted header, not over this.
            return self._verified(body)
        short = int.from_bytes(inner[6:8])
        if self.protocol == "udp":
            short = (short - 1 - self.constant) % SHORT
        if short >= SHORT:
            return None
        sequence = latest - (latest - short) % SHORT
        if sequence < 0:
            return None
        header = self._header(sequence)
        sent = header + self._body(sequence, header)
        return sequence if sent.startswith(inner) else None

    def _quoted_payload(self, quote: bytes) -> bytes | None:
        """What follows the quoted IP header, if it is one of a packet to the target."""
        if self.family == 4:
            if quote[16:20] != self.target.packed or quote[6:8] not in (b"\0\0", b"\x40\0"):
                return None
            return _after_ipv4(quote, self.number)
        if len(quote) < IP_HEADER[6] or quote[0] >> 4 != 6 or quote[6] != self.number:
            return None
        return quote[IP_HEADER[6] :] if quote[24:40] == self.target.packed else None

    def _verified(self, body: bytes) -> int | None:
        if len(body) < _PAYLOAD.size:
            return None
        sequence, tag, _tweak = _PAYLOAD.unpack_from(body)
        return sequence if hmac.compare_digest(tag, self._tag(sequence)) else None

    def _tag(self, sequence: int) -> bytes:
        return hmac.digest(self.key, _NUMBER.pack(sequence), "sha256")[:TAG_BYTES]

    def _header(self, sequence: int) -> bytes:
        short = sequence % SHORT
        if self.protocol == "udp":
            number = (short + self.constant) % SHORT + 1
            return _UDP.pack(self.ident, self.port, self._length, number)
        return _HEADER.pack(ECHO_REQUEST[self.family], 0, self.constant, self.ident, short)

    def _body(self, sequence: int, header: bytes) -> bytes:
        """The payload, with the two bytes that make the header's checksum right."""
        tag = self._tag(sequence)
        bare = _PAYLOAD.pack(sequence, tag, 0)
        tweak = checksum(self._pseudo + header + bare)
        return _PAYLOAD.pack(sequence, tag, tweak) + self._pad


def _after_ipv4(data: bytes, number: int) -> bytes | None:
    """What follows an IPv4 header of that protocol."""
    if len(data) < IP_HEADER[4] or data[0] >> 4 != 4 or data[9] != number:
        return None
    length = (data[0] & 0x0F) * 4
    return data[length:] if length >= IP_HEADER[4] else None


def _sound(data: bytes) -> bool:
    """Whether an ICMP message's checksum is right; raw sockets get those too for which it is not."""
    return checksum(data + bytes(len(data) % 2)) == 0
