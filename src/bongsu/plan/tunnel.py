"""One end of a GRE tunnel as a node has to build it: every default filled in, nothing left to guess."""

from typing import Literal

from bongsu.model.base import AddressField, InterfaceField, InterfaceName, Model, Name, PrefixField
from bongsu.model.tunnel import Bfd, Keepalive


class TunnelPlan(Model):
    """One end of a point-to-point GRE tunnel (RFC 2784, RFC 2890)."""

    name: InterfaceName
    """The interface's name on this node."""
    peer: Name
    """The node at the other end."""
    underlay: InterfaceName
    """The interface that outer packets leave and arrive by."""
    local: AddressField
    """Outer source, ours."""
    remote: AddressField
    """Outer destination, the only peer."""
    key: int | None
    ttl: int
    tos: int | Literal["inherit"]
    mtu: int
    """Inside MTU, bytes of the inner IP packet."""
    overhead: int
    """Bytes that the encapsulation adds: outer IP + GRE header (+ 4 with a key)."""
    addresses: list[InterfaceField]
    """Inside addresses, ours."""
    peer_addresses: list[AddressField]
    """Inside addresses of the other end, in the order of its families."""
    inner_sources: list[PrefixField]
    """What may come out of the tunnel as an inner source, besides the peer's inside addresses.
    0.0.0.0/0 at home, where the whole world arrives through it."""
    inner_destinations: list[PrefixField]
    """What may be sent on after it came out of the tunnel, besides our own addresses."""
    keepalive: Keepalive | None
    """What this end sends."""
    peer_keepalive: Keepalive | None
    """What the other end sends, and expects to get back through this one."""
    bfd: Bfd | None
    bgp: bool
    egress: bool
    """Packets that came out of the tunnel may leave by an uplink (at the PoP)."""
    preference: int
    insecure: bool
