"""One end of a GRE tunnel as a node has to build it: every default filled in, nothing left to guess."""

from ipaddress import IPv4Address, IPv4Interface
from typing import Literal

from bongsu.model.access import AccessRule
from bongsu.model.base import AddressField, InterfaceField, InterfaceName, Model, Name, PrefixField
from bongsu.model.ipsec import Ipsec, Protection
from bongsu.model.tunnel import Bfd, Keepalive


class TunnelPlan(Model):
    """One end of a point-to-point GRE tunnel (RFC 2784, RFC 2890)."""

    name: InterfaceName
    """The interface's name on this node."""
    peer: Name
    """The node at the other end."""
    underlay: InterfaceName
    """The interface that outer packets leave and arrive by; of several, the first."""
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
    """Bytes that the encapsulation adds: outer IP + GRE header (+ 4 with a key). IPsec not counted."""
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
    other_underlays: list[InterfaceName] = []
    """Further interfaces that outer packets may use: when `local` is a loopback's, routing chooses."""
    multipoint: bool = False
    rpf: Literal["strict", "loose"] | None = None
    """As stated; without it, what the platform needs for everything else that is planned."""
    inbound: list[AccessRule] | None = None
    """Access list of what comes out of the tunnel; None: none but what the plan itself implies."""
    vrf: Name | None = None
    """Of the inside."""
    transport_vrf: Name | None = None
    """Of the outside."""
    ipsec: Ipsec | None = None
    protection: Protection = Protection.TUNNEL
    """How this end encrypts; means something with `ipsec` only."""
    peer_protection: Protection = Protection.TUNNEL
    """How the other end does."""

    def inside4(self) -> tuple[IPv4Address, IPv4Address] | None:
        """Our first inside IPv4 address and the peer's; None without either."""
        own = next((each.ip for each in self.addresses if isinstance(each, IPv4Interface)), None)
        peer = next((each for each in self.peer_addresses if isinstance(each, IPv4Address)), None)
        return (own, peer) if own is not None and peer is not None else None
