"""NodePlan -> the sets of its VPN tunnels: gateways that may speak IKE, inner addresses, the leak guard.

An inner address is judged by the interface where the tunnel has one (also the TUN of a charon that
encrypts by itself), and by whether a packet was encrypted where it has none (RFC 4301 section 5).

One look-up leads from the interface to a chain, which tunnels of the same networks share; there an
address is compared. A set of interfaces and prefixes would be one look-up less to read, and three
times as slow: the 16 bytes of a name are looked up a byte at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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
    collapsed,
    ip_of,
    quoted,
    type_of,
    unique,
)
from bongsu.render.template import Admitted
from bongsu.render.text import address, number, symbol


def ike_ports(plan: NodePlan) -> str:
    """UDP ports of IKE on this machine, those of one daemon for each tunnel among them.

    One by one: among ranges the kernel has to search, among ports it tests a bit.
    """
    own = sorted(port for pair in ports(plan).values() for port in pair)
    return ", ".join(number(port) for port in (500, NAT_PORT, *own))


@dataclass(frozen=True)
class Ends:
    """Tunnels between the same networks, and what is judged for all of them in the same chains."""

    symbol: Admitted
    """Of the first, for the names of chains."""
    tunnels: tuple[str, ...]
    ours: dict[int, Admitted]
    """By family, as nftables compares an address with it; a family without networks is missing."""
    theirs: dict[int, Admitted]


def all_ends(plan: NodePlan) -> list[Ends]:
    """Every tunnel in one of them."""
    groups: dict[tuple[tuple[str, ...], ...], list[VpnTunnelPlan]] = {}
    for tunnel in plan.vpns:
        sides = (ours(plan, tunnel), theirs(plan, tunnel))
        key = tuple(collapsed(side, family) for side in sides for family in (4, 6))
        groups.setdefault(key, []).append(tunnel)
    return [
        Ends(
            Admitted(symbol(tunnels[0].name)),
            tuple(tunnel.name for tunnel in tunnels),
            _by_family(key[:2]),
            _by_family(key[2:]),
        )
        for key, tunnels in groups.items()
    ]


def _by_family(networks: tuple[tuple[str, ...], ...]) -> dict[int, Admitted]:
    return {
        family: _one_or_set(found) for family, found in zip((4, 6), networks, strict=True) if found
    }


def _one_or_set(values: tuple[str, ...]) -> Admitted:
    return Admitted(values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}")


def verdicts(ends: Iterable[Ends], verdict: str, chain: str) -> Admitted:
    """Elements of a map from a tunnel's interface to its chain, `CHAIN_SYMBOL`, each with a comma."""
    return Admitted(
        "\n".join(
            f"      {quoted(tunnel)} : {verdict} {chain}_{end.symbol},"
            for end in ends
            for tunnel in end.tunnels
        )
    )


def any_of(interfaces: Iterable[str]) -> Admitted:
    """Interfaces as nftables compares a packet's with them."""
    return _one_or_set(tuple(quoted(name) for name in interfaces))


def vpn_sets(plan: NodePlan) -> list[NamedSet]:
    """Sets of no family first; those that are empty are the caller's to leave out."""
    if not plan.vpns:
        return []
    named = [NamedSet("vpns", "type ifname", tuple(quoted(t.name) for t in plan.vpns))]
    for family in (4, 6):
        named += _gateways(plan, family)
        named.append(_peers_inside(plan, family))
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


def _peers_inside(plan: NodePlan, family: int) -> NamedSet:
    """Inside addresses of the far ends, where they are not of its networks anyway."""
    return NamedSet(
        f"vpn_peers{family}",
        f"type ifname . {type_of(family)}",
        tuple(
            f"{quoted(t.name)} . {address(t.peer_inside)}"
            for t in plan.vpns
            if t.peer_inside is not None
            and t.peer_inside.version == family
            and not any(t.peer_inside in prefix for prefix in theirs(plan, t))
        ),
    )


def _pairs(plan: NodePlan, family: int) -> list[NamedSet]:
    """(ours, theirs) that never pass an uplink in clear, and the MSS where there is no interface.

    All of `theirs` once more by themselves: nearly every packet is told apart by one address.
    """
    kind = f"type {type_of(family)} . {type_of(family)}"
    policy = [t for t in plan.vpns if t.binding is Binding.POLICY]
    routed = [t for t in plan.vpns if t.binding is not Binding.POLICY]
    by_route, by_policy = (_crossed(plan, some, family) for some in (routed, policy))
    far = collapsed((there for _here, there in by_route + by_policy), family)
    by_policy_written = _written(by_policy)
    room = min((t.mtu for t in policy), default=0) - TCP_IP_HEADER[family]
    ip = ip_of(family)
    return [
        NamedSet(f"vpn_far{family}", f"type {type_of(family)}", far, interval=True),
        NamedSet(f"vpn_pairs{family}", kind, _written(by_route), interval=True),
        NamedSet(f"vpn_policy_pairs{family}", kind, by_policy_written, interval=True),
        NamedSet(
            f"vpn_policy_mss{family}",
            f"typeof {ip} saddr . {ip} daddr : tcp option maxseg size",
            tuple(f"{pair} : {number(room)}" for pair in by_policy_written),
            kind="map",
            interval=True,
        ),
    ]


def _crossed(
    plan: NodePlan, tunnels: list[VpnTunnelPlan], family: int
) -> list[tuple[Prefix, Prefix]]:
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
    return disjoint(own)


def _written(pairs: list[tuple[Prefix, Prefix]]) -> tuple[str, ...]:
    return tuple(f"{address(here)} . {address(there)}" for here, there in pairs)


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


def outside(plan: NodePlan) -> list[InterfacePlan]:
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
