"""Network -> one NodePlan per node: every default filled in, every reference followed.

`compile_network` expects a network whose references hold (intent sees to that). It does not judge:
a plan of a bad network is a bad plan, and the checks say so. Cost is linear in nodes and tunnels.
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_network

from bongsu.model.base import Address, Interface, Prefix
from bongsu.model.network import Network
from bongsu.model.node import Announcement, Node, Role
from bongsu.model.tunnel import Keepalive, Tunnel, TunnelEnd
from bongsu.plan.node import (
    AnnouncementPlan,
    ExternalPeer,
    HomePrefix,
    InterfacePlan,
    InternalPeer,
    NodePlan,
)
from bongsu.plan.tunnel import TunnelPlan

REPLY_TABLE = 103
"""Routing table of replies; 103 is free on Debian and Ubuntu (253-255 and 0 are the kernel's)."""

EVERYTHING: dict[int, Prefix] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def compile_network(network: Network) -> dict[str, NodePlan]:
    """Plans of all nodes, in the file's order."""
    of_node: dict[str, list[str]] = defaultdict(list)
    for name, tunnel in network.tunnels.items():
        for node in tunnel.ends:
            of_node[node].append(name)
    return {name: _node(network, name, of_node[name]) for name in network.nodes}


def underlay_of(node: Node, end: TunnelEnd) -> str:
    """Name of the interface that a tunnel's outer packets use: the named one, or the first uplink."""
    if end.interface is not None:
        return end.interface
    return next(name for name, interface in node.interfaces.items() if interface.role == "uplink")


def outer_addresses(network: Network, tunnel: Tunnel) -> dict[str, Address]:
    """Outer address of each end: `source` where given, else by the family that both ends have."""
    candidates: dict[str, list[Address]] = {}
    for name, end in tunnel.ends.items():
        if end.source is not None:
            candidates[name] = [end.source]
        else:
            interface = network.nodes[name].interfaces[underlay_of(network.nodes[name], end)]
            candidates[name] = [address.ip for address in interface.addresses]
    common = set.intersection(*({ip.version for ip in ips} for ips in candidates.values()))
    family = min(common) if common else 0
    return {
        name: next((ip for ip in ips if ip.version == family), ips[0])
        for name, ips in candidates.items()
    }


def overhead(outer: Address, key: int | None) -> int:
    """Bytes that GRE adds in front of the inner packet (RFC 2784 section 2, RFC 2890)."""
    return (20 if outer.version == 4 else 40) + 4 + (4 if key is not None else 0)


def _node(network: Network, name: str, tunnel_names: list[str]) -> NodePlan:
    node = network.nodes[name]
    asn = node.bgp.asn or network.owner.asn
    tunnels = [_tunnel(network, name, tunnel) for tunnel in tunnel_names]
    return NodePlan(
        network=network.name,
        node=name,
        role=node.role,
        platform=node.platform,
        asn=asn,
        router_id=node.bgp.router_id or _router_id(node),
        owned=network.owner.prefixes,
        interfaces=[
            InterfacePlan(
                name=key,
                role=interface.role,
                addresses=interface.addresses,
                gateways=[ip for ip in (interface.gateway, interface.gateway6) if ip is not None],
                mtu=interface.mtu,
            )
            for key, interface in node.interfaces.items()
        ],
        tunnels=tunnels,
        external=[_external(node, key) for key in node.bgp.neighbors],
        internal=[peer for tunnel in tunnels if tunnel.bgp for peer in _internal(tunnel)],
        announcements=[_announcement(item, tunnels) for item in node.announce],
        home=_home(network, name, tunnels) if node.role is Role.HOME else [],
        reply_table=REPLY_TABLE,
    )


def _router_id(node: Node) -> Address:
    addresses = [ip.ip for interface in node.interfaces.values() for ip in interface.addresses]
    return next((ip for ip in addresses if ip.version == 4), addresses[0])


def _tunnel(network: Network, node_name: str, tunnel_name: str) -> TunnelPlan:
    tunnel = network.tunnels[tunnel_name]
    node = network.nodes[node_name]
    peer_name = next(name for name in tunnel.ends if name != node_name)
    end, peer_end = tunnel.ends[node_name], tunnel.ends[peer_name]
    outer = outer_addresses(network, tunnel)
    added = overhead(outer[node_name], tunnel.key)
    underlays = [
        network.nodes[name].interfaces[underlay_of(network.nodes[name], tunnel.ends[name])]
        for name in tunnel.ends
    ]
    sources, destinations = _inner(network, node, peer_name, tunnel_name)
    return TunnelPlan(
        name=tunnel_name,
        peer=peer_name,
        underlay=underlay_of(node, end),
        local=outer[node_name],
        remote=outer[peer_name],
        key=tunnel.key,
        ttl=tunnel.ttl,
        tos=tunnel.tos,
        mtu=tunnel.mtu or min(interface.mtu for interface in underlays) - added,
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
    )


def _inner(
    network: Network, node: Node, peer_name: str, tunnel_name: str
) -> tuple[list[Prefix], list[Prefix]]:
    """Inner sources and destinations that may pass a tunnel, as seen by the node that receives."""
    if node.role is Role.POP:
        carried = [item.prefix for item in node.announce if _carries(item, tunnel_name)]
        egress = network.tunnels[tunnel_name].egress
        families = sorted({prefix.version for prefix in carried})
        return carried, [EVERYTHING[family] for family in families] if egress else []
    announced = network.nodes[peer_name].announce
    carried = [item.prefix for item in announced if _carries(item, tunnel_name)]
    return [EVERYTHING[family] for family in sorted({p.version for p in carried})], carried


def _carries(announcement: Announcement, tunnel_name: str) -> bool:
    return announcement.to is None or tunnel_name in announcement.to


def _keepalive(tunnel: Tunnel, end: TunnelEnd) -> Keepalive | None:
    if end.keepalive is False:
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


def _announcement(item: Announcement, tunnels: list[TunnelPlan]) -> AnnouncementPlan:
    carrying = [tunnel for tunnel in tunnels if _carries(item, tunnel.name)]
    carrying.sort(key=lambda tunnel: -tunnel.preference)
    return AnnouncementPlan(
        prefix=item.prefix,
        tunnels=item.to or [tunnel.name for tunnel in carrying],
        more_specifics=_more_specifics(item.prefix, item.deaggregate_on_failure),
    )


def _more_specifics(prefix: Prefix, length: int | None) -> list[Prefix]:
    # 256 bounds what a typing error can do to other people's routing tables.
    if length is None or not prefix.prefixlen < length <= min(prefix.prefixlen + 8, 128):
        return []
    if length > prefix.max_prefixlen:
        return []
    return list(prefix.subnets(new_prefix=length))


def _home(network: Network, name: str, tunnels: list[TunnelPlan]) -> list[HomePrefix]:
    carried: dict[Prefix, list[TunnelPlan]] = defaultdict(list)
    specifics: dict[Prefix, set[Prefix]] = defaultdict(set)
    for tunnel in tunnels:
        for item in network.nodes[tunnel.peer].announce:
            if _carries(item, tunnel.name):
                carried[item.prefix].append(tunnel)
                specifics[item.prefix].update(
                    _more_specifics(item.prefix, item.deaggregate_on_failure)
                )
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
