"""What engines send each other, by UDP between the third of the relay's ports.

    data     relay header (24) | inner packet              | trailer (20)
    parity   first 16 bytes of a relay header | symbol     | trailer
    report   first 16 bytes of a relay header | body (48)  | trailer

A relayed packet stays as it is; what is ours comes behind it. A *symbol* is what parity covers of a
packet: its length (u16) and all behind the first 16 bytes, which are the same for all packets of a
stream. A report's header has the addresses the other way round, and the stream's kind. All numbers
are in network order.

    trailer  u32 epoch | u32 sequence | u8 type | u8 row | u8 count | u8 stride | u64 tag

`sequence` counts a stream's packets; a parity has that of its block's first packet, the others follow
`stride` apart, `count` in all. The tag is SipHash-2-4 over everything before it, hops taken as 0.
"""

import hashlib
import struct
from dataclasses import astuple, dataclass, fields
from enum import IntEnum
from typing import Self

from bongsu.protocol.siphash import siphash

VERSION = 1
HEADER = 24
"""Of a relayed packet."""
COMMON = 16
"""Of that, what all packets of a stream share."""
TRAILER = 20
TAG = 8
LEAST = HEADER + 20
PROTECTED = 2000
"""A longer relayed packet is carried, but not repaired."""
LARGEST = 9216
SYMBOL = 2 + PROTECTED - COMMON
SYMBOL_LEAST = 2 + LEAST - COMMON
DEPTH = 16
"""Blocks that packets lie in by turns, at most."""
OVERHEAD = TRAILER + 2
"""Bytes that a path has to carry more than without repair: a parity is two longer than its data."""
LAGS = (1, 2, 4, 8, 16)

_HEADER = struct.Struct("!BBBBIII")
_TRAILER = struct.Struct("!IIBBBB")


class Type(IntEnum):
    """Of a packet."""

    PLAIN = 0
    """A relayed packet that no parity covers."""
    DATA = 1
    PARITY = 2
    REPORT = 3
    HELLO = 4


class RefusedError(ValueError):
    """Not a packet of ours, or not one that makes sense."""


@dataclass(frozen=True)
class Header:
    """What all packets of a stream share."""

    kind: int
    """0 to the endpoint, 1 to the client."""
    destination: int
    source: int
    accelerator: int
    hops: int = 1

    def pack(self) -> bytes:
        """16 bytes."""
        return _HEADER.pack(
            VERSION, self.kind, self.hops, 0, self.destination, self.source, self.accelerator
        )

    @classmethod
    def unpack(cls, packet: bytes) -> Self:
        """RefusedError for anything else."""
        version, kind, hops, zero, destination, source, accelerator = _HEADER.unpack_from(packet)
        if version != VERSION or kind > 1 or zero:
            raise RefusedError(f"version {version}, kind {kind}")
        return cls(kind, destination, source, accelerator, hops)

    def back(self) -> "Header":
        """The other way: of a report on this stream."""
        return Header(self.kind, self.source, self.destination, self.accelerator)


@dataclass(frozen=True)
class Trailer:
    """What comes behind each packet; the tag apart."""

    epoch: int
    sequence: int
    type: Type
    row: int = 0
    count: int = 0
    stride: int = 0

    def pack(self) -> bytes:
        """12 bytes."""
        return _TRAILER.pack(*astuple(self))

    @classmethod
    def unpack(cls, packet: bytes) -> Self:
        """Of a packet with its tag. RefusedError for a type that does not exist."""
        epoch, sequence, kind, row, count, stride = _TRAILER.unpack_from(
            packet, len(packet) - TRAILER
        )
        if kind >= len(Type):
            raise RefusedError(f"type {kind}")
        return cls(epoch, sequence, Type(kind), row, count, stride)

    @property
    def is_parity(self) -> bool:
        """A parity whose place in a block can be."""
        return (
            self.type is Type.PARITY
            and self.row < 64
            and 1 <= self.count <= 64
            and 1 <= self.stride <= DEPTH
        )


@dataclass(frozen=True)
class Report:
    """A receiver's figures of one stream since it first heard of it, each modulo 2^32."""

    highest: int
    judged: int
    lost: int
    """Of `judged`; before any repair."""
    runs: int
    """Of losses, one after the other."""
    pairs: tuple[int, int, int, int, int]
    """Lost, as was the one 1, 2, 4, 8, 16 before it."""
    repaired: int
    late: int

    def pack(self) -> bytes:
        """48 bytes."""
        values = (self.highest, self.judged, self.lost, self.runs, *self.pairs)
        return struct.pack(
            "!12I", *(v & 0xFFFFFFFF for v in (*values, self.repaired, self.late, 0))
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """RefusedError for another length."""
        if len(body) != 48:
            raise RefusedError(f"a report of {len(body)} bytes")
        highest, judged, lost, runs, *rest = struct.unpack("!12I", body)
        return cls(highest, judged, lost, runs, (*rest[:5],), rest[5], rest[6])


REPORT_FIELDS = tuple(field.name for field in fields(Report))


def repair_key(secret: bytes) -> bytes:
    """16 bytes, of the relay's secret; no tag of the relay's is one of ours."""
    return hashlib.blake2b(secret, digest_size=16, person=b"bongsu-repair").digest()


def sealed(packet: bytes, key: bytes | None) -> bytes:
    """With its tag; zeros without a key."""
    return packet + _tag(packet, key)


def opened(packet: bytes, key: bytes | None) -> tuple[Header, bytes, Trailer]:
    """Header, all between the first 16 bytes and the trailer, trailer. RefusedError."""
    if not COMMON + TRAILER <= len(packet) <= LARGEST + TRAILER:
        raise RefusedError(f"{len(packet)} bytes")
    header = Header.unpack(packet)
    if packet[-TAG:] != _tag(packet[:-TAG], key):
        raise RefusedError("wrong tag")
    return header, packet[COMMON:-TRAILER], Trailer.unpack(packet)


def _tag(packet: bytes, key: bytes | None) -> bytes:
    return siphash(key, packet[:2] + b"\0" + packet[3:]) if key is not None else bytes(TAG)


def symbol(packet: bytes) -> bytes:
    """What parity covers of a relayed packet."""
    return len(packet).to_bytes(2) + packet[COMMON:]


def from_symbol(header: Header, solved: bytes) -> bytes:
    """The relayed packet of a symbol, which may end in zeros. RefusedError if it cannot be one."""
    size = int.from_bytes(solved[:2])
    if size < LEAST or 2 + size - COMMON > len(solved):
        raise RefusedError(f"a packet of {size} bytes in a symbol of {len(solved)}")
    return header.pack() + solved[2 : 2 + size - COMMON]
