"""The headers of an IP packet as the relay reads them: RFC 791, RFC 8200, RFC 768, RFC 9293.

IPv4 options and IPv6 extension headers other than the fragment header are refused.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from bongsu.model.base import Address

TCP, UDP, FRAGMENT_HEADER = 6, 17, 44
SYN, FIN, RST, ACK = 0x02, 0x01, 0x04, 0x10


@dataclass(frozen=True)
class Packet:
    """One packet; ports only of UDP and TCP, and not of later fragments."""

    data: bytes
    """All of it, as long as its header says."""
    source: Address
    target: Address
    protocol: int
    tos: int
    ttl: int
    fragment: Literal["whole", "first", "later"]
    transport: int
    """Where the transport header begins."""
    identification: int = 0
    sport: int = 0
    dport: int = 0
    payload: bytes = b""
    """Behind the transport header."""
    flags: int = 0
    sequence: int = 0
    acknowledgement: int = 0

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.source.version


def parse(data: bytes) -> Packet | None:
    """The packet that data begins with, None if it is none that the relay would read."""
    version = data[0] >> 4 if data else 0
    if version == 4:
        return _four(data)
    return _six(data) if version == 6 else None


def _four(data: bytes) -> Packet | None:
    if len(data) < 20 or data[0] & 0xF != 5:
        return None
    tos, length, identification, part, ttl, protocol = struct.unpack_from(">xBHHHBB", data)
    if not 20 <= length <= len(data):
        return None
    source, target = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    offset = part & 0x1FFF
    packet = Packet(
        data[:length], source, target, protocol, tos, ttl,
        "later" if offset else "first" if part & 0x2000 else "whole", 20, identification,
    )  # fmt: skip
    if packet.fragment != "later":
        return _transport(packet)
    # a piece at offset 8 could write over a TCP header (RFC 1858, 3.2)
    if (offset < 2 and protocol == TCP) or length < 24:
        return None
    return packet


def _six(data: bytes) -> Packet | None:
    if len(data) < 40:
        return None
    word, payload, protocol, ttl = struct.unpack_from(">IHBB", data)
    length = 40 + payload
    if length > len(data):
        return None
    source, target = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    if source.ipv4_mapped or target.ipv4_mapped:
        return None
    tos = word >> 20 & 0xFF
    if protocol != FRAGMENT_HEADER:
        return _transport(Packet(data[:length], source, target, protocol, tos, ttl, "whole", 40))
    if length < 48:
        return None
    protocol, part, identification = struct.unpack_from(">BxHI", data, 40)
    later = bool(part & 0xFFF8)
    packet = Packet(
        data[:length], source, target, protocol, tos, ttl, "later" if later else "first", 48,
        identification,
    )  # fmt: skip
    return packet if later else _transport(packet)


def _transport(packet: Packet) -> Packet | None:
    data = packet.data[packet.transport :]
    values = dict(vars(packet))
    if packet.protocol == UDP:
        if len(data) < 8:
            return None
        values["sport"], values["dport"], claimed = struct.unpack_from(">HHH", data)
        if packet.fragment == "whole":
            if not 8 <= claimed <= len(data):
                return None
            data = data[:claimed]
        values["payload"] = data[8:]
    elif packet.protocol == TCP:
        if len(data) < 20:
            return None
        sport, dport, sequence, acknowledgement, header, flags = struct.unpack_from(">HHIIBB", data)
        header = (header >> 4) * 4
        if not 20 <= header <= len(data):
            return None
        values |= {
            "sport": sport,
            "dport": dport,
            "sequence": sequence,
            "acknowledgement": acknowledgement,
            "flags": flags,
            "payload": data[header:],
        }
    return Packet(**values)


def translate(packet: Packet, source: Address, sport: int, target: Address, dport: int) -> bytes:
    """The packet with other addresses and ports, one hop older. A UDP checksum of zero stays zero
    over IPv4; others change as RFC 1624 says.
    """
    data = bytearray(packet.data)
    four = packet.version == 4
    old = packet.source.packed + packet.target.packed
    new = source.packed + target.packed
    data[(12 if four else 8) : (20 if four else 40)] = new
    data[8 if four else 7] -= 1
    if four:
        before = packet.data[8:10]
        _patch(data, 10, old + before, new + bytes(data[8:10]))
    if packet.fragment == "later":
        return bytes(data)
    at = packet.transport
    ports = struct.pack(">HH", sport, dport)
    check = at + (6 if packet.protocol == UDP else 16)
    there = data[check : check + 2]
    if packet.protocol == TCP or any(there):
        _patch(data, check, old + packet.data[at : at + 4], new + ports)
        if packet.protocol == UDP and not any(data[check : check + 2]):
            data[check : check + 2] = b"\xff\xff"
    data[at : at + 4] = ports
    return bytes(data)


def _patch(data: bytearray, at: int, old: bytes, new: bytes) -> None:
    total = ~struct.unpack_from(">H", data, at)[0] & 0xFFFF
    total += sum(~word & 0xFFFF for (word,) in struct.iter_unpack(">H", old))
    total += sum(word for (word,) in struct.iter_unpack(">H", new))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", data, at, ~total & 0xFFFF)


def nowhere(source: Address) -> bool:
    """Whether nobody can be there who asks (RFC 1812, 5.3.7): this network, loopback, groups; of IPv6
    also a link's own addresses.
    """
    if source.version == 4:
        return source.packed[0] in {0, 127} or source.packed[0] >= 224
    return source.is_multicast or source.is_link_local or int(source) < 2


def mapped(address: Address) -> bytes:
    """16 bytes, an IPv4 address mapped."""
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def outer(local: Address, remote: Address, port: int, tos: int, inside: bytes) -> bytes:
    """An outer IP and UDP packet: DF over IPv4, TTL 64, UDP checksum zero (RFC 6935, RFC 6936), the
    traffic class without its ECN bits (RFC 6040, 4.1).
    """
    tos &= 0xFC
    udp = struct.pack(">HHHH", port, port, 8 + len(inside), 0) + inside
    if local.version == 6:
        head = struct.pack(">IHBB", 6 << 28 | tos << 20, len(udp), UDP, 64)
        return head + local.packed + remote.packed + udp
    head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(udp), 0, 0x4000, 64, UDP, 0)
    data = bytearray(head + local.packed + remote.packed)
    total = sum(word for (word,) in struct.iter_unpack(">H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", data, 10, ~total & 0xFFFF)
    return bytes(data) + udp
