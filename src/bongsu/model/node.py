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
)
from bongsu.model.tunnel import Bfd


class Role(StrEnum):
    """What a node is for."""

    POP = "pop"
    HOME = "home"


class Platform(StrEnum):
    """What configuration a node is given."""

    LINUX = "linux"
    PFSENSE = "pfsense"


class Location(Model):
    """Where a node stands, in degrees (WGS 84)."""

    city: str
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class NodeInterface(Model):
    """A network interface of the machine."""

    role: Literal["uplink", "lan"]
    addresses: Annotated[list[InterfaceField], Field(min_length=1)]
    gateway: AddressField | None = None
    """Default gateway, IPv4 (of an uplink)."""
    gateway6: AddressField | None = None
    """Default gateway, IPv6 (of an uplink)."""
    mtu: Annotated[int, Field(ge=576, le=65535)] = 1500


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
    announce: list[Announcement] = []
