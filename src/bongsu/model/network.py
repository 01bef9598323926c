"""The whole network: the one thing that the YAML file describes."""

from typing import Annotated, Literal

from pydantic import Field

from bongsu.model.accelerator import Accelerator, Relay
from bongsu.model.assertion import AnyAssertion
from bongsu.model.base import Asn, Model, Name, PrefixField, TunnelName
from bongsu.model.lab import Lab
from bongsu.model.node import Node
from bongsu.model.tunnel import Tunnel
from bongsu.model.vpn import Cloud, Vpn


class Owner(Model):
    """Who announces, and what they may announce."""

    asn: Asn
    prefixes: list[PrefixField]


NOBODY = Owner(asn=64512, prefixes=[])
"""Of a network that announces nothing: a private AS number (RFC 6996) for its inside."""


class Network(Model):
    """A network file of version 1."""

    version: Literal[1]
    name: Name
    owner: Owner = NOBODY
    """May be left out by a network that announces nothing."""
    nodes: Annotated[dict[Name, Node], Field(min_length=1)]
    tunnels: dict[TunnelName, Tunnel] = {}
    clouds: dict[Name, Cloud] = {}
    """Gateways that are not ours."""
    vpns: dict[Name, Vpn] = {}
    relay: Relay = Relay()
    """Of the PoPs that carry accelerators."""
    accelerators: dict[Name, Accelerator] = {}
    lab: Lab | None = None
    tests: list[AnyAssertion] = []
