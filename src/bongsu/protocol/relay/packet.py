"""The 24 bytes that stand between outer UDP and the inner packet.

    0 version | kind | hops left | zero     4 destination node      8 source node
    12 accelerator                          16 tag, 8 bytes

All in network order; the tag is a SipHash-2-4 whose bytes are little-endian. It covers bytes 0 to 15
with the hops as 0, then the inner addresses and the four bytes behind the inner IP header, which are
the ports of all but later fragments: bytes 12 to 23 of IPv4, 8 to 43 of IPv6.
"""

import hashlib
import struct
from dataclasses import dataclass, replace

from bongsu.protocol.siphash import siphash

VERSION = 1
UP, DOWN = 0, 1
"""To the endpoint; to the client."""
HOPS = 1
"""Of a packet as it is first sent: one third PoP may carry it on."""
LENGTH = 24

_FORM = struct.Struct(">BBBBIII8s")


class HeaderError(ValueError):
    """The peer sent something that is no relayed packet."""


@dataclass(frozen=True)
class Header:
    """One header; `tag` is set by `seal`."""

    kind: int
    hops: int
    destination: int
    source: int
    accelerator: int
    tag: bytes = bytes(8)
    version: int = VERSION

    def pack(self) -> bytes:
        """24 bytes."""
        return _FORM.pack(
            self.version, self.kind, self.hops, 0, self.destination, self.source, self.accelerator,
            self.tag,
        )  # fmt: skip


def unpack(data: bytes) -> Header:
    """The header that data begins with. Errors: HeaderError, in words."""
    if len(data) < LENGTH:
        raise HeaderError(f"{len(data)} bytes, and a header has {LENGTH}")
    version, kind, hops, zero, destination, source, accelerator, tag = _FORM.unpack_from(data)
    if version != VERSION:
        raise HeaderError(f"version {version}, not {VERSION}")
    if kind not in (UP, DOWN):
        raise HeaderError(f"kind {kind}")
    if hops > HOPS:
        raise HeaderError(f"{hops} hops left, of {HOPS}")
    if zero:
        raise HeaderError(f"byte 3 is {zero}, not 0")
    return Header(kind, hops, destination, source, accelerator, tag)


def derive(secret: bytes) -> bytes:
    """The key of tags, 16 bytes, from the secret of the network file."""
    return hashlib.blake2b(secret, digest_size=16, person=b"bongsu-relay").digest()


def tag(header: Header, inner: bytes, key: bytes | None) -> bytes:
    """The tag of a header in front of an inner packet; zeros without a key.

    Errors: HeaderError, when the inner packet is too short to be one, or no IP.
    """
    if key is None:
        return bytes(8)
    covered = {4: inner[12:24], 6: inner[8:44]}.get(inner[0] >> 4 if inner else 0)
    if covered is None or len(covered) != (12 if inner[0] >> 4 == 4 else 36):
        raise HeaderError("what is inside is no IP packet")
    plain = replace(header, hops=0).pack()[:16]
    return siphash(key, plain + covered)


def seal(header: Header, inner: bytes, key: bytes | None) -> bytes:
    """The header with its tag, 24 bytes, to be followed by the inner packet."""
    try:
        return replace(header, tag=tag(header, inner, key)).pack()
    except HeaderError:
        return header.pack()
