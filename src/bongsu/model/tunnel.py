"""A GRE tunnel between two nodes (RFC 2784, key by RFC 2890) and how its life is watched."""

from typing import Annotated, Literal

from pydantic import Field

from bongsu.model.base import (
    AddressField,
    Count,
    InterfaceField,
    InterfaceName,
    Model,
    Name,
    Whole,
)


class Keepalive(Model):
    """GRE keepalive as Cisco has it: `keepalive [seconds [retries]]`, 10 and 3 by default."""

    seconds: Annotated[Whole, Field(ge=1, le=32767)] = 10
    retries: Annotated[Whole, Field(ge=1, le=255)] = 3


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
    preference: Count = 100
    """Higher carries home's outgoing traffic first."""
    insecure: bool = False
    """States that this tunnel crosses the open Internet without encryption, and that this is meant."""
