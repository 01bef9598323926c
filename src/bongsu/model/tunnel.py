"""A GRE tunnel between two nodes (RFC 2784, key by RFC 2890) and how its life is watched."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from bongsu.model.access import AccessRule
from bongsu.model.base import (
    AddressField,
    Count,
    InterfaceField,
    InterfaceName,
    Model,
    Name,
    Whole,
)
from bongsu.model.ipsec import Ipsec, Protection


class Dialect(StrEnum):
    """Whose way of writing a keepalive the far end answers; they differ in a few bytes."""

    CISCO = "cisco"
    HUAWEI = "huawei"
    MIKROTIK = "mikrotik"
    VELOCLOUD = "velocloud"
    HPE = "hpe"


class Keepalive(Model):
    """GRE keepalive as Cisco has it: `keepalive [seconds [retries]]`, 10 and 3 by default."""

    seconds: Annotated[Whole, Field(ge=1, le=32767)] = 10
    retries: Annotated[Whole, Field(ge=1, le=255)] = 3
    milliseconds: Annotated[Whole, Field(ge=5, le=60000)] | None = None
    """Fast mode: the interval in milliseconds, in place of `seconds`."""
    up_after: Annotated[Whole, Field(ge=1, le=255)] = 1
    """Replies in a row that bring the line protocol up again. Cisco has 1."""
    dialect: Dialect = Dialect.CISCO
    nonce: bool = False
    """Append 64 random bits to the inner packet, so that nobody off the path can guess a reply. The
    packet is then 8 bytes longer than Cisco's; a far end that only forwards it does not mind."""

    @model_validator(mode="after")
    def _one_interval(self) -> "Keepalive":
        if self.milliseconds is not None and "seconds" in self.model_fields_set:
            raise ValueError("`seconds` and `milliseconds` are two ways to say the same: keep one")
        return self

    @model_serializer(mode="wrap")
    def _said_once(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it would be written, or a plan could not be read again."""
        fields: dict[str, Any] = whole(self)
        if self.milliseconds is not None:
            fields.pop("seconds", None)
        return fields

    @property
    def interval_ns(self) -> int:
        """Nanoseconds between two requests."""
        if self.milliseconds is not None:
            return self.milliseconds * 1_000_000
        return self.seconds * 1_000_000_000


class Bfd(Model):
    """Bidirectional forwarding detection (RFC 5880): detection time is interval times multiplier."""

    interval_ms: Annotated[Whole, Field(ge=3, le=60000)] = 300
    multiplier: Annotated[Whole, Field(ge=2, le=255)] = 3


class TunnelEnd(Model):
    """One end of a tunnel: the node, its inside addresses and the underlay it speaks from."""

    addresses: Annotated[list[InterfaceField], Field(min_length=1)]
    """Inside addresses, at most one of each family is the session address (the first)."""
    interface: InterfaceName | None = None
    """Underlay interface; without it, the node's first uplink."""
    source: AddressField | None = None
    """Underlay address; without it, the first of the interface in the tunnel's outer family."""
    keepalive: Keepalive | Literal[False] | None = None
    """Overrides the tunnel's keepalive at this end; `false` turns it off here."""
    rpf: Literal["strict", "loose"] | None = None
    """Unicast reverse path forwarding of what comes out of the tunnel (RFC 3704)."""
    inbound: list[AccessRule] | None = None
    """What may come out of the tunnel, first match decides, the rest is dropped; without it, the
    filters that the network itself calls for, and no others."""
    vrf: Name | None = None
    """VRF of the inside (Cisco's `vrf forwarding` on the tunnel)."""
    transport_vrf: Name | None = None
    """VRF that outer packets are routed in (Cisco's `tunnel vrf`); without it, the underlay's."""
    protection: Protection = Protection.TUNNEL
    """How this end encrypts, when the tunnel has `ipsec`."""


class Tunnel(Model):
    """A point-to-point GRE tunnel. Its name is the interface's name on both nodes."""

    type: Literal["gre"] = "gre"
    ends: Annotated[dict[Name, TunnelEnd], Field(min_length=2, max_length=2)]
    key: Annotated[Whole, Field(ge=0, le=0xFFFFFFFF)] | None = None
    ttl: Annotated[Whole, Field(ge=1, le=255)] = 255
    tos: Annotated[Whole, Field(ge=0, le=255)] | Literal["inherit"] = "inherit"
    """Outer TOS / traffic class: a value, or `inherit` to copy the inner one (RFC 2983)."""
    mtu: Annotated[Whole, Field(ge=576, le=65507)] | None = None
    """Inside MTU; without it, the underlay's less the encapsulation."""
    keepalive: Keepalive | None = None
    bfd: Bfd | None = None
    bgp: bool = True
    """Run iBGP between the two ends, over the tunnel."""
    egress: bool = False
    """Replies of the announced prefix may leave by the PoP's uplink (tunnel to uplink forwarding)."""
    multipoint: bool = False
    """Multipoint GRE (mGRE), as a hub of DMVPN has it."""
    ipsec: Ipsec | None = None
    preference: Count = 100
    """Higher carries home's outgoing traffic first."""
    insecure: bool = False
    """States that this tunnel crosses the open Internet without encryption, and that this is meant."""
