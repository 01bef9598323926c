"""Network -> one NodePlan per node: every default filled in, every reference followed.

`compile_network` expects a network whose references hold (intent sees to that). It does not judge:
a plan of a bad network is a bad plan, and the checks say so. Cost is linear in nodes and tunnels.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bongsu.model.base import EVERYTHING, Address, Interface, Prefix
from bongsu.model.lab import Host
from bongsu.model.network import Network
from bongsu.model.node import Announcement, Node, PolicyRoute, Role
from bongsu.model.tunnel import Keepalive, Tunnel, TunnelEnd
from bongsu.model.vpn import Vpn
from bongsu.plan.connect import cloud_peers, vpn_routes, vpn_tunnels
from bongsu.plan.node import (
    AnnouncementPlan,
    ExternalPeer,
    HomePrefix,
    Hop,
    InterfacePlan,
    InternalPeer,
    NodePlan,
    PolicyPlan,
    RoutePlan,
)
from bongsu.plan.relay import relay_nodes, relay_plan
from bongsu.plan.specifics import more_specifics
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.underlay import outer_addresses, overhead, tunnel_mtu, underlays_of

REPLY_TABLE = 103
"""Routing table of replies; 103 is free on Debian and Ubuntu (253-255 and 0 are the kernel's)."""

POLICY_TABLE = 1000
"""Routing table of a node's first policy; the others follow."""


def compile_network(network: Network) -> dict[str, NodePlan]:
    """Plans of all nodes, in the file's order."""
    index = _index(network)
    return {name: _node(network, name, index) for name in network.nodes}


@dataclass(frozen=True, slots=True)
class _Index:
    """What would otherwise be searched for again at every tunnel: looked up once, in one pass."""

    tunnels: dict[str, list[str]]
    """Names of each node's tunnels."""
    carried: dict[str, dict[str, list[Announcement]]]
    """Of each node, the announcements that a tunnel carries."""
    outer: dict[str, dict[str, Address]]
    """Of each tunnel, the outer address of each end."""
    owned: dict[Prefix, int]
    """The owner's prefixes and their place in the file."""
    lengths: dict[int, set[int]]
    """Their lengths, by family: few, where a prefix has up to 128 that might hold it."""
    vpns: dict[str, dict[str, Vpn]]
    """Each node's VPN connections."""
    relays: list[str]
    """Nodes that carry accelerators."""


def _index(network: Network) -> _Index:
    tunnels: dict[str, list[str]] = {name: [] for name in network.nodes}
    for name, tunnel in network.tunnels.items():
        for end in tunnel.ends:
            tunnels[end].append(name)
    carried: dict[str, dict[str, list[Announcement]]] = {}
    for name, node in network.nodes.items():
        of_tunnel = carried[name] = {own: [] for own in tunnels[name]}
        for item in node.announce:
            for own in tunnels[name] if item.to is None else dict.fromkeys(item.to):
                if own in of_tunnel:
                    of_tunnel[own].append(item)
    outer = {name: outer_addresses(network, tunnel) for name, tunnel in network.tunnels.items()}
    owned = {prefix: place for place, prefix in enumerate(network.owner.prefixes)}
    lengths = {
        family: {prefix.prefixlen for prefix in owned if prefix.version == family}
        for family in (4, 6)
    }
    vpns: dict[str, dict[str, Vpn]] = {name: {} for name in network.nodes}
    for name, vpn in network.vpns.items():
        vpns[vpn.site][name] = vpn
    return _Index(tunnels, carried, outer, owned, lengths, vpns, relay_nodes(network))


def host_networks(network: Network, host: Host) -> list[Prefix]:
    """The networks that a lab host stands in: those of its node's interface, or of its cloud."""
    if host.node is not None and host.interface is not None:
        interface = network.nodes[host.node].interfaces[host.interface]
        return [address.network for address in interface.addresses]
    return list(network.clouds[host.cloud].networks) if host.cloud is not None else []


def _node(network: Network, name: str, index: _Index) -> NodePlan:
    node = network.nodes[name]
    asn = node.bgp.asn or network.owner.asn
    tunnels = [_tunnel(network, name, tunnel, index) for tunnel in index.tunnels[name]]
    by_preference = [tunnel.name for tunnel in sorted(tunnels, key=lambda item: -item.preference)]
    home = _home(network, name, tunnels, index) if node.role is Role.HOME else []
    used = [item.prefix for item in node.announce] + [item.prefix for item in home]
    return NodePlan(
        network=network.name,
        node=name,
        role=node.role,
        platform=node.platform,
        asn=asn,
        router_id=node.bgp.router_id or _router_id(node),
        owned=_owned(used, index),
        interfaces=[
            InterfacePlan(
                name=key,
                role=interface.role,
                addresses=interface.addresses,
                gateways=[ip for ip in (interface.gateway, interface.gateway6) if ip is not None],
                mtu=interface.mtu,
                vrf=interface.vrf,
                public=interface.public,
            )
            for key, interface in node.interfaces.items()
        ],
        tunnels=tunnels,
        external=[_external(node, key) for key in node.bgp.neighbors],
        internal=[peer for tunnel in tunnels if tunnel.bgp for peer in _internal(tunnel)],
        announcements=[_announcement(item, by_preference) for item in node.announce],
        home=home,
        reply_table=REPLY_TABLE,
        routes=[
            RoutePlan(prefix=route.to, hop=_hop(route.via), distance=route.distance)
            for route in node.routes
        ],
        policies=[_policy(policy, number) for number, policy in enumerate(node.policies)],
        routing=node.routing,
        frr_integrated=node.frr_integrated,
        ipsec=node.ipsec,
        vpns=vpn_tunnels(network, name, index.vpns[name], index.relays),
        cloud_peers=cloud_peers(network, index.vpns[name]),
        vpn_routes=vpn_routes(network, index.vpns[name]),
        relay=relay_plan(network, name, index.relays),
    )


def _hop(via: Address | str) -> Hop:
    if isinstance(via, str):
        return Hop(gateway=None, tunnel=via)
    return Hop(gateway=via, tunnel=None)


def _policy(policy: PolicyRoute, number: int) -> PolicyPlan:
    return PolicyPlan(
        source=policy.from_,
        destination=policy.to,
        interface=policy.in_,
        hops=[_hop(via) for via in policy.via],
        table=POLICY_TABLE + number,
    )


def _owned(used: list[Prefix], index: _Index) -> list[Prefix]:
    """The owner's prefixes that hold one of these; all of them in every plan would be quadratic."""
    found = {
        whole
        for prefix in used
        for length in index.lengths[prefix.version]
        if length <= prefix.prefixlen
        and (whole := prefix.supernet(new_prefix=length)) in index.owned
    }
    return sorted(found, key=lambda prefix: index.owned[prefix])


def _router_id(node: Node) -> Address:
    addresses = [ip.ip for interface in node.interfaces.values() for ip in interface.addresses]
    return next((ip for ip in addresses if ip.version == 4), addresses[0])


def _tunnel(network: Network, node_name: str, tunnel_name: str, index: _Index) -> TunnelPlan:
    tunnel = network.tunnels[tunnel_name]
    node = network.nodes[node_name]
    peer_name = next(name for name in tunnel.ends if name != node_name)
    end, peer_end = tunnel.ends[node_name], tunnel.ends[peer_name]
    outer = index.outer[tunnel_name]
    added = overhead(outer[node_name], tunnel.key)
    own_underlays = underlays_of(node, end)
    outside = node.interfaces[own_underlays[0]]
    announcer = node_name if node.role is Role.POP else peer_name
    carried = [item.prefix for item in index.carried[announcer][tunnel_name]]
    if node.role is Role.ROUTER:
        peer = network.nodes[peer_name]
        sources, destinations = _routed_into(node, tunnel_name), _routed_into(peer, tunnel_name)
        if tunnel.bgp and peer.role is Role.ROUTER:
            # Routers tell each other of their LANs.
            sources = list(dict.fromkeys(sources + _lans(peer)))
            destinations = list(dict.fromkeys(destinations + _lans(node)))
    else:
        sources, destinations = _inner(node.role, carried, tunnel.egress)
    return TunnelPlan(
        name=tunnel_name,
        peer=peer_name,
        underlay=own_underlays[0],
        local=outer[node_name],
        remote=outer[peer_name],
        key=tunnel.key,
        ttl=tunnel.ttl,
        tos=tunnel.tos,
        mtu=tunnel_mtu(network, tunnel, outer[node_name]),
        overhead=added,
        addresses=end.addresses,
        peer_addresses=[address.ip for address in peer_end.addresses],
        inner_sources=sources,
        inner_destinations=destinations,
        keepalive=_keepalive(tunnel, end),
        peer_keepalive=_keepalive(tunnel, peer_end),
        bfd=tunnel.bfd,
        bgp=tunnel.bgp,
        egress=tunnel.egress,
        preference=tunnel.preference,
        insecure=tunnel.insecure,
        other_underlays=own_underlays[1:],
        multipoint=tunnel.multipoint,
        rpf=end.rpf,
        inbound=end.inbound,
        vrf=end.vrf,
        transport_vrf=end.transport_vrf or outside.vrf,
        ipsec=tunnel.ipsec,
        protection=end.protection,
        peer_protection=peer_end.protection,
    )


def _inner(role: Role, carried: list[Prefix], egress: bool) -> tuple[list[Prefix], list[Prefix]]:
    """Inner sources and destinations that may pass a tunnel, as seen by the node that receives."""
    everything = [EVERYTHING[family] for family in sorted({prefix.version for prefix in carried})]
    if role is Role.POP:
        return carried, everything if egress else []
    return everything, carried


def _routed_into(node: Node, tunnel: str) -> list[Prefix]:
    """What a router sends into a tunnel, and so what it may get out of it."""
    routed = [route.to for route in node.routes if route.via == tunnel]
    for policy in node.policies:
        if tunnel in policy.via:
            family = (policy.to or policy.from_ or EVERYTHING[4]).version
            routed.append(policy.to or EVERYTHING[family])
    return list(dict.fromkeys(routed))


def _lans(node: Node) -> list[Prefix]:
    return [
        address.network
        for interface in node.interfaces.values()
        if interface.role == "lan"
        for address in interface.addresses
    ]


def _keepalive(tunnel: Tunnel, end: TunnelEnd) -> Keepalive | None:
    # On multipoint GRE a keepalive has no effect: there is no one far end to be lost.
    if end.keepalive is False or tunnel.multipoint:
        return None
    return end.keepalive or tunnel.keepalive


def _external(node: Node, name: str) -> ExternalPeer:
    neighbor = node.bgp.neighbors[name]
    interface, local = _session_source(node, neighbor.address)
    return ExternalPeer(
        name=name,
        asn=neighbor.asn,
        address=neighbor.address,
        local=local,
        interface=interface,
        multihop=neighbor.multihop,
        password=neighbor.password,
        bfd=neighbor.bfd,
        hold_s=neighbor.hold_s,
        accept_default=neighbor.import_ == "default",
        export_all=neighbor.export == "all",
    )


def _session_source(node: Node, remote: Address) -> tuple[str, Address]:
    """The interface whose network holds the neighbor, else the first uplink of its family."""
    uplinks = [(key, item) for key, item in node.interfaces.items() if item.role == "uplink"]
    choices: list[tuple[str, Interface]] = [
        (key, address)
        for key, interface in uplinks
        for address in interface.addresses
        if address.version == remote.version
    ]
    for key, address in choices:
        if remote in address.network:
            return key, address.ip
    if choices:
        return choices[0][0], choices[0][1].ip
    return uplinks[0][0], uplinks[0][1].addresses[0].ip


def _internal(tunnel: TunnelPlan) -> Iterable[InternalPeer]:
    """One session for each family that both ends have an inside address of."""
    for family in (4, 6):
        local = next((ip.ip for ip in tunnel.addresses if ip.version == family), None)
        remote = next((ip for ip in tunnel.peer_addresses if ip.version == family), None)
        if local is not None and remote is not None:
            yield InternalPeer(
                node=tunnel.peer,
                tunnel=tunnel.name,
                address=remote,
                local=local,
                bfd=tunnel.bfd,
                preference=tunnel.preference,
            )


def _announcement(item: Announcement, by_preference: list[str]) -> AnnouncementPlan:
    return AnnouncementPlan(
        prefix=item.prefix,
        tunnels=by_preference if item.to is None else item.to,
        more_specifics=more_specifics(item.prefix, item.deaggregate_on_failure),
    )


def _home(
    network: Network, name: str, tunnels: list[TunnelPlan], index: _Index
) -> list[HomePrefix]:
    carried: dict[Prefix, list[TunnelPlan]] = defaultdict(list)
    specifics: dict[Prefix, set[Prefix]] = defaultdict(set)
    for tunnel in tunnels:
        for item in index.carried[tunnel.peer][tunnel.name]:
            carried[item.prefix].append(tunnel)
            specifics[item.prefix].update(more_specifics(item.prefix, item.deaggregate_on_failure))
    lans = [
        (key, address.network)
        for key, interface in network.nodes[name].interfaces.items()
        if interface.role == "lan"
        for address in interface.addresses
    ]
    return [
        HomePrefix(
            prefix=prefix,
            more_specifics=sorted(specifics[prefix], key=str),
            tunnels=[t.name for t in sorted(by, key=lambda tunnel: -tunnel.preference)],
            interface=next((key for key, net in lans if _holds(prefix, net)), None),
        )
        for prefix, by in sorted(carried.items(), key=lambda pair: str(pair[0]))
    ]


def _holds(prefix: Prefix, lan: Prefix) -> bool:
    return prefix.version == lan.version and prefix.overlaps(lan)
