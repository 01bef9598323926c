"""NodePlan -> the sets of its VPN tunnels: gateways that may speak IKE, inner addresses, the leak guard.

An inner address is judged by the interface where the tunnel has one (also the TUN of a charon that
encrypts by itself), and by whether a packet was encrypted where it has none (RFC 4301 section 5).
"""

from collections.abc import Iterable
from ipaddress import ip_network

from bongsu.model.base import EVERYTHING, Prefix
from bongsu.model.vpn import Binding
from bongsu.plan.node import InterfacePlan, NodePlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan
from bongsu.render.libipsec.render import NAT_PORT, ports
from bongsu.render.nftables.pairs import disjoint
from bongsu.render.nftables.words import (
    TCP_IP_HEADER,
    NamedSet,
    by_tunnel,
    ip_of,
    quoted,
    type_of,
    unique,
)
from bongsu.render.text import address, number


def ike_ports(plan: NodePlan) -> str:
    """UDP ports of IKE on this machine, those of one daemon for each tunnel among them."""
    own = sorted(port for pair in ports(plan).values() for port in pair)
    return ", ".join(number(port) for port in (500, NAT_PORT, *own))


def vpn_sets(plan: NodePlan) -> list[NamedSet]:
    """Sets of no family first; those that are empty are the caller's to leave out."""
    if not plan.vpns:
        return []
    named = [NamedSet("vpns", "type ifname", tuple(quoted(t.name) for t in plan.vpns))]
    named.append(NamedSet("outside", "type ifname", tuple(quoted(i.name) for i in _outside(plan))))
    for family in (4, 6):
        named += _gateways(plan, family)
        named += _inner(plan, family)
        named += _pairs(plan, family)
        named += _control(plan, family)
    return named


def vpn_mss(plan: NodePlan, family: int) -> tuple[str, ...]:
    """Elements of the map from a tunnel's interface to the MSS inside."""
    return tuple(
        f"{quoted(t.name)} : {number(t.mtu - TCP_IP_HEADER[family])}"
        for t in plan.vpns
        if any(p.version == family for p in ours(plan, t) + theirs(plan, t))
    )


def ours(plan: NodePlan, tunnel: VpnTunnelPlan) -> list[Prefix]:
    """What of this side the far end may reach: the site's networks, and what it is told of."""
    told = [prefix for peer in _peers(plan, tunnel) for prefix in peer.announce]
    return list(dict.fromkeys(tunnel.local_networks + told))


def theirs(plan: NodePlan, tunnel: VpnTunnelPlan) -> list[Prefix]:
    """What of the far side may speak to us: its networks, and what is taken from its BGP."""
    found = list(tunnel.remote_networks)
    for peer in _peers(plan, tunnel):
        found += [EVERYTHING[peer.address.version]] if peer.accept is None else peer.accept
    return list(dict.fromkeys(found))


def _peers(plan: NodePlan, tunnel: VpnTunnelPlan) -> list[CloudPeer]:
    return [peer for peer in plan.cloud_peers if peer.tunnel == tunnel.name]


def _gateways(plan: NodePlan, family: int) -> list[NamedSet]:
    kind = type_of(family)
    ends = [(t.remote, t.local) for t in plan.vpns]
    # GRE inside IPsec has gateways, too.
    ends += [(t.remote, t.local) for t in plan.tunnels if t.ipsec is not None]
    pairs = unique(
        f"{address(remote)} . {address(local)}" for remote, local in ends if local.version == family
    )
    return [NamedSet(f"ike{family}", f"type {kind} . {kind}", pairs)]


def _inner(plan: NodePlan, family: int) -> list[NamedSet]:
    kind = f"type ifname . {type_of(family)}"
    speaking = {t.name: theirs(plan, t) for t in plan.vpns}
    reached = {t.name: ours(plan, t) for t in plan.vpns}
    peers = tuple(
        f"{quoted(t.name)} . {address(t.peer_inside)}"
        for t in plan.vpns
        if t.peer_inside is not None
        and t.peer_inside.version == family
        and not any(t.peer_inside in prefix for prefix in speaking[t.name])
    )
    return [
        NamedSet(f"vpn_inner{family}", kind, peers + by_tunnel(speaking, family), interval=True),
        NamedSet(f"vpn_theirs{family}", kind, by_tunnel(speaking, family), interval=True),
        NamedSet(f"vpn_ours{family}", kind, by_tunnel(reached, family), interval=True),
    ]


def _pairs(plan: NodePlan, family: int) -> list[NamedSet]:
    """(ours, theirs) that never pass an uplink in clear, and the MSS where there is no interface."""
    kind = f"type {type_of(family)} . {type_of(family)}"
    policy = [t for t in plan.vpns if t.binding is Binding.POLICY]
    routed = [t for t in plan.vpns if t.binding is not Binding.POLICY]
    by_policy = _crossed(plan, policy, family)
    room = min((t.mtu for t in policy), default=0) - TCP_IP_HEADER[family]
    ip = ip_of(family)
    return [
        NamedSet(f"vpn_pairs{family}", kind, _crossed(plan, routed, family), interval=True),
        NamedSet(f"vpn_policy_pairs{family}", kind, by_policy, interval=True),
        NamedSet(
            f"vpn_policy_mss{family}",
            f"typeof {ip} saddr . {ip} daddr : tcp option maxseg size",
            tuple(f"{pair} : {number(room)}" for pair in by_policy),
            kind="map",
            interval=True,
        ),
    ]


def _crossed(plan: NodePlan, tunnels: list[VpnTunnelPlan], family: int) -> tuple[str, ...]:
    """Every pair of a network here and one there. What is `0.0.0.0/0` is no network of anybody's:
    the machine's own way to the Internet must not end with a tunnel."""
    found = []
    for tunnel in tunnels:
        far = list(tunnel.remote_networks)
        far += [prefix for peer in _peers(plan, tunnel) for prefix in peer.accept or []]
        found += [(here, there) for here in ours(plan, tunnel) for there in far]
        if tunnel.inside is not None and tunnel.peer_inside is not None:
            found.append((ip_network(tunnel.inside.ip), ip_network(tunnel.peer_inside)))
    own = [
        (here, there)
        for here, there in found
        if here.version == family == there.version and here.prefixlen and there.prefixlen
    ]
    return tuple(f"{address(here)} . {address(there)}" for here, there in disjoint(own))


def _control(plan: NodePlan, family: int) -> list[NamedSet]:
    kind = f"type ifname . {type_of(family)} . {type_of(family)}"
    peers = [p for p in plan.cloud_peers if p.address.version == family]
    watched = [p for p in peers if p.bfd is not None]
    return [
        NamedSet(f"bgp_cloud{family}", kind, _sessions(peers)),
        NamedSet(
            f"bfd_cloud_near{family}", kind, _sessions(p for p in watched if p.multihop is None)
        ),
        NamedSet(
            f"bfd_cloud_far{family}", kind, _sessions(p for p in watched if p.multihop is not None)
        ),
    ]


def _sessions(peers: Iterable[CloudPeer]) -> tuple[str, ...]:
    return unique(f"{quoted(p.tunnel)} . {address(p.address)} . {address(p.local)}" for p in peers)


def _outside(plan: NodePlan) -> list[InterfacePlan]:
    """Uplinks behind which no network of ours lies: a source of ours is forged there."""
    near = [prefix for tunnel in plan.vpns for prefix in ours(plan, tunnel)]
    return [item for item in plan.uplinks() if not any(_leads(plan, item, p) for p in near)]


def _leads(plan: NodePlan, item: InterfacePlan, prefix: Prefix) -> bool:
    networks = [own.network for own in item.addresses]
    networks += [
        route.prefix
        for route in plan.routes
        if route.hop.gateway is not None
        and any(route.hop.gateway in own.network for own in item.addresses)
    ]
    return any(n.version == prefix.version and n.overlaps(prefix) for n in networks)
