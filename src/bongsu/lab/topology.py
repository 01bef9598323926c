"""What has to be built around a network so that it can live on one machine: a pure blueprint.

Addresses of the lab's own Internet come from ranges set aside for tests (RFC 2544's 198.18.0.0/15
and RFC 9637's 3fff::/20), so that they never meet those of the network. No I/O happens here.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from itertools import count

from bongsu.lab import nat
from bongsu.lab.blueprint import (
    Cable,
    HostPlan,
    Port,
    Relation,
    Router,
    Segment,
    Session,
    Topology,
)
from bongsu.lab.nat import Nat, Neighbor
from bongsu.model.base import Address, Family, Interface, Prefix
from bongsu.model.lab import Impairment, Lab, Wire
from bongsu.model.network import Network
from bongsu.model.tunnel import Bfd
from bongsu.plan.connect import STAND_IN_UPLINK
from bongsu.plan.node import ExternalPeer, InterfacePlan, NodePlan
from bongsu.plan.underlay import OUTWARD

MAX_ROUTERS = 255
"""One /24 of 198.18.0.0/16 for each AS."""
MAX_CABLES = 32768
"""One /31 of 198.19.0.0/16 for each link."""
PROVIDER_BFD = Bfd(interval_ms=50, multiplier=3)


class TopologyError(Exception):
    """The lab section asks for something the lab cannot be built from. `str()` says what."""


def build_topology(network: Network, plans: dict[str, NodePlan]) -> Topology:
    """The blueprint. `plans` are the nodes' and the stand-ins' of clouds.

    Raises TopologyError if the file has no lab or asks for the impossible.
    """
    if network.lab is None:
        raise TopologyError(
            "the file has no `lab:` section, so there is nothing around the network: "
            "examples/anycast.yaml and examples/hybrid-vpn.yaml have one"
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
        self.nats: list[Nat] = []
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
        for cloud, plug in self.lab.clouds.items():
            if cloud in self.plans:
                self._uplink(cloud, STAND_IN_UPLINK, plug.to, False, plug)
        for wire in self.lab.wires:
            self._wire(wire)
        self._every_interface_is_plugged_in()
        segments = list(self._segments())
        bridges: list[Segment | Nat] = [*segments, *self.nats]
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
            nats=self.nats,
            hosts={host.name: host.address.ip for one in bridges for host in one.hosts},
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
            "cloud": self.network.clouds,
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
        pairs: list[list[Interface]] = [
            _link_pair(index),
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
        if facing.public is not None:
            self._translated_uplink(router, plan, facing, bfd, impairment)
            return
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

    def _translated_uplink(
        self,
        router: Router,
        plan: NodePlan,
        facing: InterfacePlan,
        bfd: bool,
        impairment: Impairment,
    ) -> None:
        """An uplink behind a 1:1 NAT: one cable from the node to it, another from it to the AS."""
        stand = self._nat(plan, facing)
        self.nats.append(stand)
        name = f"{plan.node}:{facing.name}"
        default = (ip_network("0.0.0.0/0"), stand.gateway.ip)
        self._add_cable(
            Cable(
                name,
                Port(plan.node, facing.name, tuple(facing.addresses), routes=(default,)),
                Port(stand.name, nat.INSIDE, bridged=True),
                Impairment(),
                facing.mtu,
            )
        )
        self.plugs[(plan.node, facing.name)] = name
        ours, theirs = _link_pair(len(self.cables))
        public = ip_interface(stand.public)
        port = f"to-{plan.node}"[:15]
        self._add_cable(
            Cable(
                f"{name}:{nat.OUTSIDE}",
                Port(
                    stand.name,
                    nat.OUTSIDE,
                    (ours, public),
                    routes=((default[0], theirs.ip),),
                ),
                Port(router.name, port, (theirs,), routes=((public.network, None),)),
                impairment,
            )
        )
        # Announced as a pair, as small as a network with a neighbour can be: the /32 is on the link.
        pair = public.network.supernet()
        if pair not in router.networks:
            router.networks.append(pair)
        router.on_link.append((public.network, port))
        for peer in plan.external:
            if peer.interface == facing.name:
                self._customer(router, plan, peer, bfd, impairment, remote=stand.public)

    def _nat(self, plan: NodePlan, facing: InterfacePlan) -> Nat:
        why = nat.refusal(facing.addresses, facing.gateways)
        if why or facing.public is None:
            raise TopologyError(
                f"{plan.node}'s {facing.name} is behind a 1:1 NAT ({facing.public}) and has {why}: "
                "the lab cannot build that"
            )
        subnet, gateway = facing.addresses[0], facing.gateways[0]
        node = self.network.nodes[plan.node].interfaces[facing.name]
        routes = [
            prefix
            for tunnel in plan.vpns
            if tunnel.underlay == facing.name
            for prefix in tunnel.remote_networks
            if prefix.version == 4
        ]
        return Nat(
            name=f"_nat{len(self.nats)}",
            node=plan.node,
            interface=facing.name,
            private=subnet.ip,
            public=facing.public,
            gateway=ip_interface(f"{gateway}/{subnet.network.prefixlen}"),
            routes=tuple(dict.fromkeys(routes)),
            hosts=tuple(
                Neighbor(host.name, host.address)
                for host in self._hosts(plan.node, facing.name, [subnet])
            ),
            checks=node.source_dest_check is True,
            mtu=facing.mtu,
        )

    def _customer(
        self,
        router: Router,
        plan: NodePlan,
        peer: ExternalPeer,
        bfd: bool,
        impairment: Impairment,
        remote: Address | None = None,
    ) -> None:
        """The provider's end of a session. `remote` is where it finds the node, if not at its address."""
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
                remote=remote or peer.local,
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
            if host.cloud is not None:
                # Its stand-in has a LAN for each of the cloud's networks.
                if host.cloud != node or all(host.address not in item.network for item in lan):
                    continue
            elif (host.node, host.interface) != (node, interface):
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


def _link_pair(index: int) -> list[Interface]:
    """Both addresses of the lab's link of that number."""
    if index >= MAX_CABLES:
        raise TopologyError(f"a lab holds {MAX_CABLES} links at most")
    base = int(ip_address("198.19.0.0")) + 2 * index
    return [ip_interface(f"{ip_address(base + side)}/31") for side in (0, 1)]


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
