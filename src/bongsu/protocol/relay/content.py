"""What a UDP payload on IKE's ports is: RFC 3948, section 2, and RFC 7296, sections 2.23 and 3.1.

On port 4500 IKE has four zero bytes in front, where ESP has its SPI, which is never zero; one byte
of ff keeps a NAT's mapping alive. On port 500 there is nothing but IKE.
"""

import struct
from dataclasses import dataclass
from typing import Literal

IKE_PORT = 500
NAT_TRAVERSAL_PORT = 4500
IKE_HEADER = 28
_MARKER = bytes(4)


@dataclass(frozen=True)
class Content:
    """`initiator` and `responder` are IKE's SPIs (IKEv1: cookies), 8 bytes each."""

    kind: Literal["ike", "esp", "keepalive", "other"]
    initiator: bytes = b""
    responder: bytes = b""
    spi: int = 0
    sequence: int = 0

    @property
    def answered(self) -> bool:
        """IKE that has a responder's SPI."""
        return self.kind == "ike" and any(self.responder)


OTHER = Content("other")


def classify(payload: bytes, port: int) -> Content:
    """What a payload is, seen from the accelerated port."""
    if port == IKE_PORT:
        return _ike(payload)
    if port != NAT_TRAVERSAL_PORT:
        return OTHER
    if payload == b"\xff":
        return Content("keepalive")
    if len(payload) < 8:
        return OTHER
    if payload.startswith(_MARKER):
        return _ike(payload[4:])
    spi, sequence = struct.unpack_from(">II", payload)
    return Content("esp", spi=spi, sequence=sequence)


def _ike(data: bytes) -> Content:
    if len(data) < IKE_HEADER:
        return OTHER
    return Content("ike", initiator=data[:8], responder=data[8:16])
