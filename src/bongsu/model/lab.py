"""The lab's Internet: autonomous systems, links between them, and the points that look at us.

It describes only what surrounds the network in the lab; nothing here reaches a real node.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bongsu.model.base import AddressField, Asn, InterfaceName, Model, Name

Throwaway = Annotated[str, Field(json_schema_extra={"writeOnly": True})]


class Impairment(Model):
    """What a link does to packets, in each direction."""

    delay_ms: Annotated[float, Field(ge=0, le=10000)] = 0
    jitter_ms: Annotated[float, Field(ge=0, le=1000)] = 0
    loss: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of packets lost, 0 to 1."""
    rate_mbps: Annotated[float, Field(gt=0, le=100000)] | None = None


class TransitAs(Model):
    """An autonomous system of the lab's Internet: one router, real BIRD."""

    asn: Asn
    city: str = ""


class AsLink(Impairment):
    """A link between two ASes. `a` is the customer of `b` unless they are peers (RFC 9234 roles)."""

    a: Name
    b: Name
    relation: Literal["customer", "peer"] = "customer"


class Uplink(Impairment):
    """Where a node's uplink is plugged in. The AS becomes the gateway and the BGP neighbor."""

    to: Name
    bfd: bool = False
    """The provider offers BFD on the session."""


class CloudPlug(Impairment):
    """Where a cloud's headends are plugged in. A stand-in of ours plays the cloud."""

    to: Name


class Vantage(Impairment):
    """A place to look from: a stub AS of its own, customer of `to`."""

    asn: Asn
    to: Name
    city: str = ""


Plug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}/[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")]
"""`NODE/INTERFACE`."""


class Wire(Impairment):
    """A link between two nodes, by their interfaces of role `link`."""

    a: Plug
    b: Plug


class Host(Model):
    """A host on a LAN of a node, beside a node behind a 1:1 NAT, or in a cloud."""

    node: Name | None = None
    interface: InterfaceName | None = None
    cloud: Name | None = None
    address: AddressField

    @model_validator(mode="after")
    def _somewhere(self) -> "Host":
        at_node = self.node is not None and self.interface is not None
        if at_node == (self.cloud is not None) or (self.node is None) != (self.interface is None):
            raise ValueError("a host is at a `node` and its `interface`, or in a `cloud`")
        return self


class Internet(Model):
    """The ASes and how they are joined."""

    ases: dict[Name, TransitAs]
    links: list[AsLink]


class Lab(Model):
    """What surrounds the network in the lab."""

    internet: Internet = Internet(ases={}, links=[])
    uplinks: dict[Name, dict[InterfaceName, Uplink]] = {}
    """Node name, then interface name."""
    clouds: dict[Name, CloudPlug] = {}
    wires: list[Wire] = []
    vantages: dict[Name, Vantage] = {}
    hosts: dict[Name, Host] = {}
    secrets: dict[str, Throwaway] = {}
    """Throw-away values for the references used in the file; they exist only in the lab."""
