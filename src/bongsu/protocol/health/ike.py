"""A question that any IKE daemon answers, and that starts nothing there.

IKEv2: IKE_SA_INIT (RFC 7296, 1.2) whose one proposal is of algorithms for private use that nobody has;
the answer is NO_PROPOSAL_CHOSEN, or a cookie, or another notification. IKEv1: main mode's first message
(RFC 2408, RFC 2409) with a transform of the same kind, for gateways that know no other version. No key
is exchanged, no state is left, and no SA of the endpoint's is touched: the SPI is a new one each time.

Any answer that repeats our SPI is a sign of life. Behind port 4500 the non-ESP marker goes before
(RFC 3948, 2.2).
"""

import struct
from typing import Literal

Version = Literal[1, 2]
NON_ESP_MARKER = bytes(4)
SPI_BYTES = 8
NAT_T_PORT = 4500
_HEADER = struct.Struct("!8s8sBBBBII")
_PRIVATE = 65001
"""Of the ranges for private use of the IKEv2 transform registries (1024 to 65535)."""
_GROUP = 19
"""256-bit random ECP (RFC 5903), whose public values have 64 bytes; this one is no point of it."""
_PRIVATE_1 = 65001
"""Of those of the attributes of ISAKMP's phase 1 (RFC 2409, appendix A: 65001 to 65535)."""


def request(version: Version, spi: bytes, nonce: bytes, port: int) -> bytes:
    """The UDP payload. `spi`: 8 random bytes, not all zero; `nonce`: 32 random bytes."""
    message = _init(spi, nonce) if version == 2 else _main_mode(spi)
    return NON_ESP_MARKER + message if port == NAT_T_PORT else message


def is_answer(data: bytes, spi: bytes, port: int) -> bool:
    """Whether this was sent by somebody who speaks IKE and received the request with this SPI."""
    if port == NAT_T_PORT:
        if data[:4] != NON_ESP_MARKER:
            return False
        data = data[4:]
    if len(data) < _HEADER.size:
        return False
    initiator, _, _, version, _, _, _, length = _HEADER.unpack_from(data)
    return initiator == spi and version >> 4 in (1, 2) and length == len(data)


def _init(spi: bytes, nonce: bytes) -> bytes:
    # ENCR, PRF, INTEG, D-H: a proposal for IKE has all of them. A group that nobody knows would be
    # malformed to some.
    wanted = {1: _PRIVATE, 2: _PRIVATE, 3: _PRIVATE, 4: _GROUP}
    transforms = b"".join(
        struct.pack("!BBHBBH", 0 if kind == 4 else 3, 0, 8, kind, 0, number)
        for kind, number in wanted.items()
    )
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, len(wanted))
    payloads = _payload(34, proposal + transforms)  # SA, then KE
    payloads += _payload(40, struct.pack("!HH", _GROUP, 0) + 2 * nonce)  # then Nonce
    payloads += _payload(0, nonce)
    length = _HEADER.size + len(payloads)
    return _HEADER.pack(spi, bytes(8), 33, 0x20, 34, 0x08, 0, length) + payloads


def _main_mode(spi: bytes) -> bytes:
    # encryption, hash, authentication (pre-shared key), group, life in seconds
    attributes = ((1, _PRIVATE_1), (2, _PRIVATE_1), (3, 1), (4, 2), (11, 1), (12, 3600))
    body = b"".join(struct.pack("!HH", 0x8000 | kind, value) for kind, value in attributes)
    transform = struct.pack("!BBHBBH", 0, 0, 8 + len(body), 1, 1, 0) + body
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform
    sa = _payload(0, struct.pack("!II", 1, 1) + proposal)  # DOI IPsec, identity only
    return _HEADER.pack(spi, bytes(8), 1, 0x10, 2, 0, 0, _HEADER.size + len(sa)) + sa


def _payload(following: int, body: bytes) -> bytes:
    return struct.pack("!BBH", following, 0, 4 + len(body)) + body
