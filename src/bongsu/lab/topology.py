"""What has to be built around a network so that it can live on one machine: a pure blueprint.

Addresses of the lab's own Internet come from ranges set aside for tests (RFC 2544's 198.18.0.0/15
and RFC 9637's 3fff::/20), so that they never meet those of the network. No I/O happens here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from itertools import count
from typing import Literal

from bongsu.model.base import Address, Family, Interface, Prefix
from bongsu.model.lab import Impairment, Lab, Wire
from bongsu.model.network import Network
from bongsu.model.tunnel import Bfd
from bongsu.plan.compile import OUTWARD
from bongsu.plan.node import ExternalPeer, InterfacePlan, NodePlan

Relation = Literal["customer", "peer", "provider"]
"""What the other side is to us (RFC 9234 section 3)."""

MAX_ROUTERS = 255
"""One /24 of 198.18.0.0/16 for each AS."""
MAX_CABLES = 32768
"""One /31 of 198.19.0.0/16 for each link."""
PROVIDER_BFD = Bfd(interval_ms=50, multiplier=3)


class TopologyError(Exception):
    """The lab section asks for something the lab cannot be built from. `str()` says what."""


@dataclass(frozen=True)
class Port:
    """One end of a cable: an interface in a member's namespace."""

    member: str
    interface: str
    addresses: tuple[Interface, ...] = ()
    peers: tuple[tuple[Address, Address], ...] = ()
    """Point-to-point addresses: this end's and the far end's."""
    routes: tuple[tuple[Prefix, Address | None], ...] = ()
    """Routes by this interface: prefix and gateway, or None for on-link."""
    proxy_arp: bool = False


@dataclass(frozen=True)
class Cable:
    """A point-to-point link between two members."""

    name: str
    a: Port
    b: Port
    impairment: Impairment
    mtu: int = 1500


@dataclass(frozen=True)
class Session:
    """A BGP session of a lab router."""

    name: str
    local: Address
    local_asn: int
    remote: Address
    remote_asn: int
    relation: Relation
    metric: int
    """Link delay in 10 us: the nearest of equally good exits wins, as it does by IGP cost."""
    multihop: int | None = None
    password: str | None = None
    """Reference (`env:NAME`), resolved from the lab's throw-away secrets."""
    bfd: Bfd | None = None
    allowed: tuple[Prefix, ...] | None = None
    """What a customer may announce (an IRR filter); None for sessions inside the lab's Internet."""


@dataclass
class Router:
    """A lab AS: one router with real BIRD. A vantage point is a router with nothing behind it."""

    name: str
    asn: int
    router_id: Address
    networks: list[Prefix]
    """Originated prefixes."""
    loopbacks: list[Interface]
    sessions: list[Session] = field(default_factory=list)
    on_link: list[tuple[Prefix, str]] = field(default_factory=list)
    """Customer addresses reached directly by a port: (host prefix, interface)."""


@dataclass(frozen=True)
class HostPlan:
    """A host on a LAN."""

    name: str
    address: Interface
    gateway: Address | None


@dataclass(frozen=True)
class Segment:
    """A LAN of a node: a bridge with the node's port and the hosts' ports."""

    name: str
    node: str
    interface: str
    addresses: tuple[Interface, ...]
    hosts: tuple[HostPlan, ...]


@dataclass(frozen=True)
class Topology:
    """Everything the lab builds, apart from what the agents build themselves."""

    routers: dict[str, Router]
    cables: dict[str, Cable]
    plugs: dict[tuple[str, str], str]
    """(node, interface) of uplinks and links -> cable name."""
    loopbacks: dict[str, tuple[Interface, ...]]
    """Node -> addresses that its `lo` has beside 127.0.0.1."""
    segments: list[Segment]
    hosts: dict[str, Address]
    """Host name -> its address."""
    vantages: dict[str, dict[int, Address]]
    """Vantage name -> the address it probes from, by family."""
    nodes: tuple[str, ...]
    families: tuple[Family, ...]
    """Address families the lab's Internet speaks: IPv6 only where the network does."""

    def between(self, plugs: Iterable[tuple[str, str]]) -> list[Cable]:
        """The cables that these interfaces of nodes are plugged into."""
        return [self.cables[self.plugs[plug]] for plug in plugs if plug in self.plugs]

    def members(self) -> list[str]:
        """Every namespace the lab needs, by short name."""
        hosts = [host.name for segment in self.segments for host in segment.hosts]
        return [*self.routers, *self.nodes, *(s.name for s in self.segments), *hosts]


def build_topology(network: Network, plans: dict[str, NodePlan]) -> Topology:
    """The blueprint. Raises TopologyError if the file has no lab or asks for the impossible."""
    if network.lab is None:
        raise TopologyError(
            "the file has no `lab:` section, so there is nothing around the network"
        )
    builder = _Builder(network, network.lab, plans)
    return builder.build()


class _Builder:
    def __init__(self, network: Network, lab: Lab, plans: dict[str, NodePlan]) -> None:
        self.network = network
        self.lab = lab
        self.plans = plans
        self.routers: dict[str, Router] = {}
        self.cables: dict[str, Cable] = {}
        self.plugs: dict[tuple[str, str], str] = {}
        self.families = _families(plans)

    def build(self) -> Topology:
        self._names_are_distinct()
        for name, transit in self.lab.internet.ases.items():
            self._router(name, transit.asn)
        for name, vantage in self.lab.vantages.items():
            self._router(name, vantage.asn)
        for link in self.lab.internet.links:
            self._as_link(link.a, link.b, link.relation, link)
        for name, vantage in self.lab.vantages.items():
            self._as_link(name, vantage.to, "customer", vantage)
        for node, by_interface in self.lab.uplinks.items():
            for interface, uplink in by_interface.items():
                self._uplink(node, interface, uplink.to, uplink.bfd, uplink)
        for wire in self.lab.wires:
            self._wire(wire)
        self._every_interface_is_plugged_in()
        segments = list(self._segments())
        return Topology(
            routers=self.routers,
            cables=self.cables,
            plugs=self.plugs,
            loopbacks={
                name: tuple(
                    address
                    for interface in plan.interfaces
                    if interface.role == "loopback"
                    for address in interface.addresses
                )
                for name, plan in self.plans.items()
            },
            segments=segments,
            hosts={host.name: host.address.ip for one in segments for host in one.hosts},
            vantages={
                name: {address.version: address.ip for address in self.routers[name].loopbacks}
                for name in self.lab.vantages
            },
            nodes=tuple(self.plans),
            families=self.families,
        )

    def _names_are_distinct(self) -> None:
        kinds: dict[str, Iterable[str]] = {
            "node": self.network.nodes,
            "AS": self.lab.internet.ases,
            "vantage point": self.lab.vantages,
            "host": self.lab.hosts,
        }
        seen: dict[str, str] = {}
        for kind, names in kinds.items():
            for name in names:
                if name in seen:
                    raise TopologyError(f"{name} is the name of a {seen[name]} and of a {kind}")
                seen[name] = kind

    def _router(self, name: str, asn: int) -> None:
        index = len(self.routers) + 1
        if index > MAX_ROUTERS:
            raise TopologyError(f"a lab holds {MAX_ROUTERS} ASes and vantage points at most")
        networks = [ip_network(f"198.18.{index}.0/24"), ip_network(f"3fff:0:{index:x}::/48")]
        used = [network for network in networks if network.version in self.families]
        self.routers[name] = Router(
            name=name,
            asn=asn,
            router_id=networks[0][1],
            networks=used,
            loopbacks=[ip_interface(network[1]) for network in used],
        )

    def _as_link(self, a: str, b: str, relation: str, impairment: Impairment) -> None:
        index = len(self.cables)
        if index >= MAX_CABLES:
            raise TopologyError(f"a lab holds {MAX_CABLES} links at most")
        base = int(ip_address("198.19.0.0")) + 2 * index
        pairs: list[list[Interface]] = [
            [ip_interface(f"{ip_address(base + side)}/31") for side in (0, 1)],
            [ip_interface(f"3fff:fff:{index:x}::{side}/127") for side in (0, 1)],
        ]
        pairs = [pair for pair in pairs if pair[0].version in self.families]
        self._add_cable(
            Cable(
                name=f"{a}:{b}",
                a=Port(a, _port_name(b), tuple(pair[0] for pair in pairs)),
                b=Port(b, _port_name(a), tuple(pair[1] for pair in pairs)),
                impairment=impairment,
            )
        )
        a_sees_b: Relation = "peer" if relation == "peer" else "provider"
        b_sees_a: Relation = "peer" if relation == "peer" else "customer"
        for pair in pairs:
            suffix = "6" if pair[0].version == 6 else ""
            self._session(a, b, a_sees_b, pair[0].ip, pair[1].ip, suffix, impairment)
            self._session(b, a, b_sees_a, pair[1].ip, pair[0].ip, suffix, impairment)

    def _session(
        self,
        here: str,
        there: str,
        relation: Relation,
        local: Address,
        remote: Address,
        suffix: str,
        impairment: Impairment,
    ) -> None:
        self.routers[here].sessions.append(
            Session(
                name=f"{there}{suffix}",
                local=local,
                local_asn=self.routers[here].asn,
                remote=remote,
                remote_asn=self.routers[there].asn,
                relation=relation,
                metric=round(impairment.delay_ms * 100),
            )
        )

    def _add_cable(self, cable: Cable) -> None:
        if cable.name in self.cables:
            raise TopologyError(f"two links between {cable.a.member} and {cable.b.member}")
        self.cables[cable.name] = cable

    def _uplink(
        self, node: str, interface: str, to: str, bfd: bool, impairment: Impairment
    ) -> None:
        router, plan = self.routers[to], self.plans[node]
        facing = plan.interface(interface)
        defaults = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
        node_port = Port(
            node,
            interface,
            tuple(facing.addresses),
            routes=tuple((defaults[gateway.version], gateway) for gateway in facing.gateways),
        )
        port = f"to-{node}"[:15]
        peers = [peer for peer in plan.external if peer.interface == interface]
        hosts: list[Prefix] = [ip_network(address.ip) for address in facing.addresses]
        router_port = Port(
            member=to,
            interface=port,
            addresses=tuple(ip_interface(one) for one in facing.gateways if one.is_link_local),
            peers=tuple(_facing(facing, peers)),
            routes=tuple((host, None) for host in hosts),
            proxy_arp=True,
        )
        name = f"{node}:{interface}"
        self._add_cable(Cable(name, node_port, router_port, impairment, facing.mtu))
        self.plugs[(node, interface)] = name
        for address in facing.addresses:
            if address.network not in router.networks:
                router.networks.append(address.network)
            router.on_link.append((ip_network(address.ip), port))
        for peer in peers:
            self._customer(router, plan, peer, bfd, impairment)

    def _customer(
        self,
        router: Router,
        plan: NodePlan,
        peer: ExternalPeer,
        bfd: bool,
        impairment: Impairment,
    ) -> None:
        gateways = {gateway for item in plan.interfaces for gateway in item.gateways}
        if peer.multihop is not None and peer.address not in gateways:
            loopback = ip_interface(f"{peer.address}/{peer.address.max_prefixlen}")
            if loopback not in router.loopbacks:
                router.loopbacks.append(loopback)
        router.sessions.append(
            Session(
                name=f"{plan.node}-{peer.name}",
                local=peer.address,
                local_asn=peer.asn,
                remote=peer.local,
                remote_asn=plan.asn,
                relation="customer",
                metric=round(impairment.delay_ms * 100),
                multihop=peer.multihop,
                password=peer.password,
                bfd=(peer.bfd or PROVIDER_BFD) if bfd else peer.bfd,
                allowed=tuple(plan.owned),
            )
        )

    def _wire(self, wire: Wire) -> None:
        (here, a), (there, b) = (plug.split("/") for plug in (wire.a, wire.b))
        facing = (self.plans[here].interface(a), self.plans[there].interface(b))
        # By one end: an interface takes one wire, and both by name would be too long.
        name = f"{here}:{a}"
        self._add_cable(
            Cable(
                name,
                Port(here, a, tuple(facing[0].addresses)),
                Port(there, b, tuple(facing[1].addresses)),
                wire,
                min(item.mtu for item in facing),
            )
        )
        for plug in ((here, a), (there, b)):
            if plug in self.plugs:
                raise TopologyError(f"{'/'.join(plug)} takes one wire, and has two")
            self.plugs[plug] = name

    def _every_interface_is_plugged_in(self) -> None:
        for name, plan in self.plans.items():
            for interface in plan.interfaces:
                if interface.role not in OUTWARD or (name, interface.name) in self.plugs:
                    continue
                where = f"lab.uplinks.{name}.{interface.name}"
                if interface.role == "link":
                    where = f"a wire to lab.wires that ends at {name}/{interface.name}"
                raise TopologyError(
                    f"{name}'s {interface.role} {interface.name} goes nowhere: add {where}"
                )

    def _segments(self) -> Iterator[Segment]:
        number = count()
        for name, plan in self.plans.items():
            for interface in plan.interfaces:
                if interface.role == "lan":
                    yield Segment(
                        name=f"_lan{next(number)}",
                        node=name,
                        interface=interface.name,
                        addresses=tuple(interface.addresses),
                        hosts=tuple(self._hosts(name, interface.name, interface.addresses)),
                    )

    def _hosts(self, node: str, interface: str, lan: list[Interface]) -> Iterator[HostPlan]:
        for name, host in self.lab.hosts.items():
            if (host.node, host.interface) != (node, interface):
                continue
            for address in lan:
                if host.address in address.network:
                    on_lan = ip_interface(f"{host.address}/{address.network.prefixlen}")
                    yield HostPlan(name, on_lan, address.ip)
                    break
            else:
                raise TopologyError(
                    f"host {name} ({host.address}) is in no network of {node}'s {interface}"
                )


def _facing(facing: InterfacePlan, peers: list[ExternalPeer]) -> Iterator[tuple[Address, Address]]:
    """The AS router's addresses on an uplink, each with the node's address that it faces.

    Point-to-point, so that BIRD opens single-hop sessions here (it looks for the neighbor on a link),
    and yet several nodes of one network can hang on several ports.
    """
    pairs = [
        (gateway, address.ip)
        for gateway in facing.gateways
        for address in facing.addresses
        if address.version == gateway.version and not gateway.is_link_local
    ]
    pairs += [(peer.address, peer.local) for peer in peers if peer.multihop is None]
    yield from dict.fromkeys(pairs)


def _families(plans: dict[str, NodePlan]) -> tuple[Family, ...]:
    spoken = {
        address.version
        for plan in plans.values()
        for interface in plan.interfaces
        for address in interface.addresses
    }
    return (4, 6) if 6 in spoken else (4,)


def _port_name(other: str) -> str:
    """An interface is named after what it leads to, cut to what Linux can hold."""
    return other[:15]
