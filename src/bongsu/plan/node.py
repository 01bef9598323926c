"""What one node has to be: the neutral state that renderers, agent and lab see, and nothing else.

A NodePlan is complete (no default left to apply), free of secrets (references only) and canonical:
`canonical_json` of equal plans is equal byte for byte, and `digest` names it.
"""

import hashlib
import json
from typing import Literal

from bongsu.model.base import (
    AddressField,
    Asn,
    InterfaceField,
    InterfaceName,
    Model,
    Name,
    PrefixField,
    SecretRef,
)
from bongsu.model.node import Platform, Role, RoutingDaemon
from bongsu.model.tunnel import Bfd
from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.relay import RelayPlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan


class InterfacePlan(Model):
    """A network interface of the machine, as it is; bongsu does not own uplinks."""

    name: InterfaceName
    role: Literal["uplink", "lan", "link", "loopback"]
    addresses: list[InterfaceField]
    gateways: list[AddressField]
    mtu: int
    vrf: Name | None = None
    public: AddressField | None = None
    """What the Internet sees where a 1:1 NAT stands in front."""


class Hop(Model):
    """A next hop: a router on the link, or a tunnel of this node."""

    gateway: AddressField | None
    tunnel: InterfaceName | None


class RoutePlan(Model):
    """A static route; of those to one prefix, the lowest distance that stands is used."""

    prefix: PrefixField
    hop: Hop
    distance: int


class PolicyPlan(Model):
    """Packets that match take the first next hop that stands, and a routing table of their own."""

    source: PrefixField | None
    destination: PrefixField | None
    interface: InterfaceName | None
    """By which they arrive."""
    hops: list[Hop]
    table: int
    """Of the kernel."""

    @property
    def family(self) -> Literal[4, 6]:
        """Of the packets it matches: that of its prefixes, else of its next hops."""
        prefixes = (self.source, self.destination)
        found = [item.version for item in prefixes if item is not None]
        found += [hop.gateway.version for hop in self.hops if hop.gateway is not None]
        return 6 if found[:1] == [6] else 4


class ExternalPeer(Model):
    """An external BGP session."""

    name: Name
    asn: Asn
    address: AddressField
    local: AddressField
    """Our end of the session, on the uplink."""
    interface: InterfaceName
    multihop: int | None
    password: SecretRef | None
    bfd: Bfd | None
    hold_s: int
    accept_default: bool
    export_all: bool
    """Announce the whole table: never what is meant, and a check says so."""


class InternalPeer(Model):
    """An iBGP session over a tunnel, between two nodes of ours."""

    node: Name
    tunnel: InterfaceName
    address: AddressField
    local: AddressField
    bfd: Bfd | None
    preference: int
    """Local preference given to what is learned here; home's outgoing traffic follows it."""


class AnnouncementPlan(Model):
    """A prefix this PoP announces while a tunnel in `tunnels` is alive."""

    prefix: PrefixField
    tunnels: list[InterfaceName]
    """In order of preference."""
    more_specifics: list[PrefixField]
    """Announced as well while another PoP of the prefix is lost; empty when not asked for."""


class HomePrefix(Model):
    """A prefix that lives behind this node and is announced by PoPs elsewhere."""

    prefix: PrefixField
    more_specifics: list[PrefixField]
    tunnels: list[InterfaceName]
    """Tunnels it arrives by, and by which its replies leave, in order of preference."""
    interface: InterfaceName | None
    """The LAN on which it lives, if one holds an address of it."""


class NodePlan(Model):
    """Everything one node has to be."""

    version: Literal[1] = 1
    network: Name
    node: Name
    role: Role
    platform: Platform
    asn: Asn
    router_id: AddressField
    owned: list[PrefixField]
    """The owner's prefixes that this node has to do with: nothing else may ever be announced here."""
    interfaces: list[InterfacePlan]
    tunnels: list[TunnelPlan]
    external: list[ExternalPeer]
    internal: list[InternalPeer]
    announcements: list[AnnouncementPlan]
    home: list[HomePrefix]
    reply_table: int
    """Routing table for replies out of `home` prefixes (policy routing by source)."""
    routes: list[RoutePlan] = []
    policies: list[PolicyPlan] = []
    """In order: the first that matches decides."""
    routing: RoutingDaemon = RoutingDaemon.BIRD
    frr_integrated: bool = True
    ipsec: IpsecDaemon = IpsecDaemon.STRONGSWAN
    vpns: list[VpnTunnelPlan] = []
    """IPsec tunnels."""
    cloud_peers: list[CloudPeer] = []
    """BGP sessions inside them."""
    vpn_routes: list[RoutePlan] = []
    """Static routes into them; their hops name a tunnel of `vpns`."""
    relay: RelayPlan | None = None
    """The node's part in carrying accelerators."""

    def canonical_json(self) -> str:
        """The one spelling of this plan: sorted keys, no spaces, ASCII."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def tunnel(self, name: str) -> TunnelPlan:
        """The tunnel of that name. KeyError if this node has none."""
        for tunnel in self.tunnels:
            if tunnel.name == name:
                return tunnel
        raise KeyError(name)

    def interface(self, name: str) -> InterfacePlan:
        """The interface of that name. KeyError if this node has none."""
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        raise KeyError(name)

    def uplinks(self) -> list[InterfacePlan]:
        """The interfaces that face the Internet."""
        return [interface for interface in self.interfaces if interface.role == "uplink"]
