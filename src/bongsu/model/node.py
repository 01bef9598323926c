"""A node: a Linux box, a cloud VM or a gateway of another make, with its interfaces and BGP."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from bongsu.model.base import (
    AddressField,
    Asn,
    InterfaceField,
    InterfaceName,
    Model,
    Name,
    Positive,
    PrefixField,
    SecretRef,
    TunnelName,
    Whole,
)
from bongsu.model.tunnel import Bfd
from bongsu.model.vpn import IpsecDaemon


class Role(StrEnum):
    """What a node is for."""

    POP = "pop"
    """Announces prefixes to the Internet and carries them home."""
    HOME = "home"
    """Where announced prefixes live."""
    ROUTER = "router"
    """Neither: forwards by its static routes, its policies and what its tunnels bring."""


class Platform(StrEnum):
    """What configuration a node is given."""

    LINUX = "linux"
    PFSENSE = "pfsense"
    IOS = "ios"
    VYOS = "vyos"
    ALIBABA = "alibaba"
    """A VPN Gateway of Alibaba Cloud's: a service, into whose console values are typed."""


class RoutingDaemon(StrEnum):
    """Which BGP and routing daemon a Linux node runs."""

    BIRD = "bird"
    FRR = "frr"


Opening = Annotated[str, Field(pattern=r"^(esp|(udp|tcp)/[1-9][0-9]{0,4})$")]
"""A protocol, or a protocol and a port, that a filter lets in."""


class Location(Model):
    """Where a node stands, in degrees (WGS 84)."""

    city: str
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class NodeInterface(Model):
    """A network interface of the machine."""

    role: Literal["uplink", "lan", "link", "loopback"]
    """`uplink` faces the Internet, `link` another node of this network; a `loopback` is an address
    that does not depend on one of them."""
    addresses: Annotated[list[InterfaceField], Field(min_length=1)]
    gateway: AddressField | None = None
    """Default gateway, IPv4 (of an uplink)."""
    gateway6: AddressField | None = None
    """Default gateway, IPv6 (of an uplink)."""
    mtu: Annotated[int, Field(ge=576, le=65535)] = 1500
    vrf: Name | None = None
    public: AddressField | None = None
    """The address that the Internet sees, where a 1:1 NAT stands in front (of an uplink, IPv4)."""
    source_dest_check: bool | None = None
    """Whether the provider drops packets that are neither from nor to this machine; None: unknown."""
    allows: list[Opening] | None = None
    """What the provider's filter (a security list or group) lets in from the VPN's headends, as
    `udp/500` or `esp`; None: unknown. bongsu does not set it, and checks against it."""


class StaticRoute(Model):
    """A route that stands while its next hop does; a greater distance makes it a floating one."""

    to: PrefixField
    via: AddressField | TunnelName
    """The next router, or a tunnel of this node."""
    distance: Annotated[Whole, Field(ge=1, le=254)] = 1
    """Administrative distance: of routes to the same prefix the lowest that stands is used."""


class PolicyRoute(Model):
    """Policy-based routing: packets that match take the first next hop that stands, before any route."""

    from_: Annotated[PrefixField | None, Field(alias="from")] = None
    to: PrefixField | None = None
    in_: Annotated[InterfaceName | None, Field(alias="in")] = None
    """The interface they arrive by."""
    via: Annotated[list[AddressField | TunnelName], Field(min_length=1)]
    """With none of them left, the routing table decides."""


class Neighbor(Model):
    """An external BGP neighbor."""

    asn: Asn
    address: AddressField
    multihop: Annotated[int, Field(ge=1, le=255)] | None = None
    """TTL bound of a multihop session; without it the neighbor is on the link (RFC 5082 applies)."""
    password: SecretRef | None = None
    """TCP MD5 signature (RFC 2385), by reference."""
    bfd: Bfd | None = None
    """Only where the neighbor offers it."""
    hold_s: Annotated[int, Field(ge=3, le=65535)] = 90
    import_: Annotated[Literal["none", "default"], Field(alias="import")] = "none"
    """What is accepted: nothing, or a default route."""
    export: Literal["owned", "all"] = "owned"
    """What is announced. `all` is what Vultr's sample does; a check refuses it."""


class Bgp(Model):
    """BGP of a node."""

    asn: Asn | None = None
    """Without it, the owner's."""
    router_id: AddressField | None = None
    """Without it, the first IPv4 address of the first uplink."""
    neighbors: dict[Name, Neighbor] = {}


class Announcement(Model):
    """A prefix that a PoP announces to its external neighbors and carries into a tunnel."""

    prefix: PrefixField
    to: list[TunnelName] | None = None
    """Tunnels that carry it, in order of preference; without it, every tunnel of the node."""
    deaggregate_on_failure: Positive | None = None
    """When another PoP of this prefix stops answering, announce its more-specifics of this length.

    They win everywhere, also where a dead PoP's announcement still stands because its provider has
    not noticed. Needs a ROA whose maxLength admits them (RFC 9319 weighs the risk).
    """


class Node(Model):
    """A machine of the network."""

    role: Role
    platform: Platform = Platform.LINUX
    location: Location | None = None
    interfaces: Annotated[dict[InterfaceName, NodeInterface], Field(min_length=1)]
    bgp: Bgp = Field(default_factory=Bgp)
    routing: RoutingDaemon = RoutingDaemon.BIRD
    """The daemon that routes, on Linux."""
    frr_integrated: bool = True
    """One frr.conf for all of FRR's daemons (`service integrated-vtysh-config`), or one file each."""
    ipsec: IpsecDaemon = IpsecDaemon.STRONGSWAN
    """The daemon that speaks IKE, on Linux, if the node has a VPN."""
    forwarding: bool = True
    """Whether the machine may forward; `false` states that it must not (a hardened host)."""
    transit: bool = False
    """Whether accelerators' packets between two other PoPs may pass here."""
    announce: list[Announcement] = []
    routes: list[StaticRoute] = []
    policies: Annotated[list[PolicyRoute], Field(max_length=400)] = []
    """In order: the first that matches decides. Each is a routing table of the kernel's."""
