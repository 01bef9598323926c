"""What a PoP has to know to carry accelerators: its peers, and what enters, leaves or only passes here.

Nodes and accelerators are told apart on the wire by 32-bit numbers made of their names, so that they
do not change when others come and go; a check says when two collide.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal

from bongsu.model.accelerator import (
    Accelerator,
    Endpoint,
    Health,
    HostName,
    Listener,
    Mesh,
    Repair,
)
from bongsu.model.base import Address, AddressField, InterfaceName, Model, Name, SecretRef
from bongsu.model.network import Network
from bongsu.model.node import Node, Platform


class RelayPeer(Model):
    """Another PoP, and how its outer packets are addressed."""

    node: Name
    number: int
    local: AddressField
    """We speak from here."""
    remote: AddressField
    """To here: its uplink as the Internet sees it, or its end of a tunnel."""
    tunnel: InterfaceName | None = None


class EndpointPlan(Model):
    """A gateway or server behind the egress PoP."""

    name: Name
    address: AddressField | HostName
    weight: int


class RegionPlan(Model):
    """Where clients of an accelerator enter."""

    name: Name
    node: Name
    number: int
    """Of the node."""
    address: AddressField
    public: AddressField


class ListenerPlan(Model):
    """Ports and where they lead."""

    name: Name
    protocol: Literal["udp", "tcp"]
    ranges: list[tuple[int, int]]
    endpoints: list[EndpointPlan]
    affinity: Literal["client", "none"]
    idle_s: int
    validation: Literal["ike", "tcp", "none"]
    """How a client proves that it receives what is sent to its address: it repeats the responder's
    cookie or SPI, it acknowledges the SYN, or it cannot."""
    amplification: int | None
    """Bytes to an unproved client for each byte from it; None: unlimited."""
    health: Health | None
    repair: Repair | None


class AcceleratorPlan(Model):
    """One accelerator as a node that carries it sees it."""

    name: Name
    number: int
    bandwidth_bps: int | None
    regions: list[RegionPlan]
    egress: Name
    egress_number: int
    off_address: AddressField
    off_public: AddressField
    listeners: list[ListenerPlan]

    def entries(self, node: str) -> list[RegionPlan]:
        """The regions at a node."""
        return [region for region in self.regions if region.node == node]


class RelayPlan(Model):
    """A node's part in carrying accelerators."""

    number: int
    port: int
    key: SecretRef | None
    mesh: Mesh
    peers: list[RelayPeer]
    accelerators: list[AcceleratorPlan]
    """Those that enter or leave here; what only passes needs no more than `peers`."""
    repairs: bool = False
    """Some accelerator of the network asks for repair: here as well, to carry on what is repaired."""

    @property
    def measuring_port(self) -> int:
        """UDP: probes of paths."""
        return self.port + 1

    @property
    def repair_port(self) -> int:
        """UDP: what the engines of repair send each other. The relay's last."""
        return self.port + 2


def number(kind: str, name: str) -> int:
    """The 32-bit number of a node or an accelerator on the wire; never 0."""
    digest = hashlib.sha256(f"{kind} {name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


def relay_nodes(network: Network) -> list[str]:
    """The nodes that carry accelerators, in the file's order."""
    used = {
        name
        for item in network.accelerators.values()
        for name in (item.egress.node, *(region.node for region in item.regions.values()))
    }
    return [
        name
        for name, node in network.nodes.items()
        if name in used or (used and node.transit and node.platform is Platform.LINUX)
    ]


def relay_plan(network: Network, name: str, nodes: list[str]) -> RelayPlan | None:
    """A node's part, None without one. `nodes` is `relay_nodes(network)`; cost is linear in it."""
    if name not in nodes:
        return None
    relay = network.relay
    own = [
        _accelerator(network, key, item)
        for key, item in network.accelerators.items()
        if name == item.egress.node or name in {region.node for region in item.regions.values()}
    ]
    return RelayPlan(
        number=number("node", name),
        port=relay.port,
        key=relay.key,
        mesh=relay.mesh,
        peers=[peer for other in nodes if other != name for peer in _peer(network, name, other)],
        accelerators=own,
        repairs=any(
            listener.repair is not None
            for item in network.accelerators.values()
            for listener in item.listeners.values()
        ),
    )


def egress_addresses(network: Network, item: Accelerator) -> tuple[Address, Address]:
    """The off address as the egress PoP has it, and as endpoints see it."""
    first = next(iter(item.regions.values())).address
    node = network.nodes[item.egress.node]
    off = item.egress.off_address or _outside(node, first.version) or first
    return off, item.egress.public or off


def off_address(network: Network, item: Accelerator) -> Address:
    """The one source that an accelerator's endpoints see."""
    return egress_addresses(network, item)[1]


def _accelerator(network: Network, name: str, item: Accelerator) -> AcceleratorPlan:
    off, seen = egress_addresses(network, item)
    return AcceleratorPlan(
        name=name,
        number=number("accelerator", name),
        bandwidth_bps=None if item.bandwidth_mbps is None else item.bandwidth_mbps * 1_000_000,
        regions=[
            RegionPlan(
                name=key,
                node=region.node,
                number=number("node", region.node),
                address=region.address,
                public=region.public or region.address,
            )
            for key, region in item.regions.items()
        ],
        egress=item.egress.node,
        egress_number=number("node", item.egress.node),
        off_address=off,
        off_public=seen,
        listeners=[_listener(key, listener) for key, listener in item.listeners.items()],
    )


def _listener(name: str, item: Listener) -> ListenerPlan:
    validation = validates(item)
    return ListenerPlan(
        name=name,
        protocol=item.protocol,
        ranges=item.ranges,
        endpoints=[_endpoint(key, endpoint) for key, endpoint in item.endpoints.items()],
        affinity=item.affinity,
        idle_s=item.idle_s,
        validation=validation,
        amplification=None if item.amplification == "unlimited" else item.amplification,
        health=None if item.health is False else _health(item.health, validation),
        repair=item.repair,
    )


def validates(item: Listener) -> Literal["ike", "tcp", "none"]:
    """How clients of a listener prove where they are: IKE's ports alone carry IKE."""
    if item.protocol == "tcp":
        return "tcp"
    return "ike" if {port for bounds in item.ranges for port in bounds} <= {500, 4500} else "none"


def _endpoint(name: str, item: Endpoint) -> EndpointPlan:
    return EndpointPlan(name=name, address=item.address, weight=item.weight)


def _health(health: Health, validation: Literal["ike", "tcp", "none"]) -> Health:
    fitting: dict[str, Literal["ike", "tcp", "icmp"]] = {"ike": "ike", "tcp": "tcp", "none": "icmp"}
    return health.model_copy(update={"probe": health.probe or fitting[validation]})


def _peer(network: Network, name: str, other: str) -> Iterator[RelayPeer]:
    """The one way to another PoP; none if the two have no family in common."""
    ways = [*_tunnelled(network, name, other), *_direct(network, name, other)]
    for local, remote, tunnel in ways[:1]:
        yield RelayPeer(
            node=other, number=number("node", other), local=local, remote=remote, tunnel=tunnel
        )


def _tunnelled(
    network: Network, name: str, other: str
) -> Iterator[tuple[Address, Address, str | None]]:
    if network.relay.over != "tunnels":
        return
    for key, tunnel in network.tunnels.items():
        if set(tunnel.ends) == {name, other}:
            for ours in tunnel.ends[name].addresses:
                for theirs in tunnel.ends[other].addresses:
                    if ours.version == theirs.version:
                        yield ours.ip, theirs.ip, key


def _direct(
    network: Network, name: str, other: str
) -> Iterator[tuple[Address, Address, str | None]]:
    for family in (4, 6):
        local = _outside(network.nodes[name], family)
        remote = _seen(network.nodes[other], family)
        if local is not None and remote is not None:
            yield local, remote, None


def _outside(node: Node, family: int) -> Address | None:
    """The first address of a family on an uplink, or else on a link."""
    for role in ("uplink", "link"):
        for interface in node.interfaces.values():
            for address in interface.addresses:
                if interface.role == role and address.version == family:
                    return address.ip
    return None


def _seen(node: Node, family: int) -> Address | None:
    """The same as others see it, where a 1:1 NAT stands in front."""
    for interface in node.interfaces.values():
        if interface.role == "uplink" and interface.public is not None and family == 4:
            return interface.public
    return _outside(node, family)
