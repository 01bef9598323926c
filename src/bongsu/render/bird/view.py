"""NodePlan -> what bird.conf.j2 iterates over, one FamilyView for each address family.

The template decides how it is spelled, this module what is said. Only prefixes inside of the
owner's get in: what is not owned is neither announced nor carried.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import TypeVar

from bongsu.model.base import Address, Family, Prefix
from bongsu.model.node import Role
from bongsu.plan.node import ExternalPeer, HomePrefix, Hop, InternalPeer, NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.bird.cloud import CloudView, cloud_view
from bongsu.render.bird.support import (
    DEFAULT_ROUTE,
    FIRST_PREFERENCE,
    MAX_ANNOUNCED_LENGTH,
    preference_of,
)
from bongsu.render.owned import Owned

T = TypeVar("T")


@dataclass(frozen=True)
class NextHop:
    """The way into a tunnel or to a router on a link. Without a gateway it is the interface alone."""

    interface: str | None
    """None where BIRD has to find out itself."""
    gateway: Address | None
    bfd: bool


@dataclass(frozen=True)
class StaticRoute:
    prefix: Prefix
    hops: tuple[NextHop, ...]


@dataclass(frozen=True)
class Rank:
    """Routes by the n-th best tunnel of their prefix, in a protocol of its own."""

    number: int
    preference: int
    routes: tuple[StaticRoute, ...]


@dataclass(frozen=True)
class Policy:
    """A routing table of its own for packets that a rule sends there; its hops in their order."""

    table: int
    ranks: tuple[Rank, ...]


@dataclass(frozen=True)
class Watched:
    """A PoP as home sees it: alive while `marker` has a route, else its more-specifics are lost."""

    node: str
    marker: Prefix
    address: Address
    hops: tuple[NextHop, ...]
    specifics: tuple[Prefix, ...]


@dataclass(frozen=True)
class FamilyView:
    """What bird.conf has to say about one address family."""

    family: Family
    default: Prefix
    max_length: int
    announced: tuple[Prefix, ...]
    specifics: tuple[Prefix, ...]
    """More-specifics of the announced prefixes that a PoP takes from home while another is lost."""
    ranks: tuple[Rank, ...]
    home: tuple[Prefix, ...]
    replies: tuple[Rank, ...]
    """Default routes by tunnels that BFD watches, or that run no BGP."""
    watched: tuple[Watched, ...]
    external: tuple[ExternalPeer, ...]
    internal: tuple[InternalPeer, ...]
    egress: frozenset[str]
    """Tunnels whose far end gets a default route from us."""
    routes: tuple[Rank, ...]
    """Static routes, a rank for each distance."""
    policies: tuple[Policy, ...]
    lans: tuple[str, ...]
    """LANs that a router tells its internal neighbors of."""
    accepted: dict[str, tuple[Prefix, ...]]
    """By tunnel, what a router takes from its internal neighbor there."""
    cloud: CloudView
    """Sessions inside IPsec tunnels."""

    @property
    def accepts_default(self) -> bool:
        return any(peer.accept_default for peer in self.external)

    @property
    def lost(self) -> tuple[Prefix, ...]:
        """Every more-specific that this home may hand to a PoP."""
        return _unique(prefix for pop in self.watched for prefix in pop.specifics)


@dataclass(frozen=True)
class BfdGroup:
    """Tunnels with the same BFD timers."""

    interval_ms: int
    multiplier: int
    tunnels: tuple[TunnelPlan, ...]


def families(plan: NodePlan) -> list[FamilyView]:
    """The views of the families that the plan uses, IPv4 first."""
    tunnels = {tunnel.name: tunnel for tunnel in plan.tunnels}
    owned = Owned(plan.owned)
    views = [_family(plan, 4, tunnels, owned), _family(plan, 6, tunnels, owned)]
    return [
        v
        for v in views
        if v.announced
        or v.home
        or v.external
        or v.internal
        or v.routes
        or v.policies
        or v.cloud.peers
    ]


def bfd_groups(plan: NodePlan) -> list[BfdGroup]:
    """Tunnels with BFD by their timers, fastest first."""
    groups: dict[tuple[int, int], list[TunnelPlan]] = defaultdict(list)
    for tunnel in plan.tunnels:
        if tunnel.bfd is not None:
            groups[tunnel.bfd.interval_ms, tunnel.bfd.multiplier].append(tunnel)
    return [BfdGroup(*timers, tuple(group)) for timers, group in sorted(groups.items())]


def session_pairs(tunnel: TunnelPlan) -> list[tuple[Address, Address]]:
    """(ours, theirs) for each family that both ends have an inside address of."""
    return [
        (ours, theirs)
        for family in (4, 6)
        if (ours := _first((a.ip for a in tunnel.addresses), family)) is not None
        and (theirs := _first(tunnel.peer_addresses, family)) is not None
    ]


def _family(
    plan: NodePlan, family: Family, tunnels: dict[str, TunnelPlan], owned: Owned
) -> FamilyView:
    mine = [a for a in plan.announcements if a.prefix.version == family]
    announcements = [a for a in mine if owned.covers(a.prefix)]
    home = [h for h in plan.home if h.prefix.version == family and owned.covers(h.prefix)]
    announced = _unique(a.prefix for a in announcements)
    choices = {a.prefix: [tunnels[t] for t in a.tunnels if t in tunnels] for a in announcements}
    internal = tuple(p for p in plan.internal if p.address.version == family)
    watched = [t for t in plan.tunnels if plan.role is Role.HOME and t.egress]
    # BFD alone vouches for these: after an outage replies need not wait for a session to come back.
    silent = [t for t in watched if t.bfd is not None or not t.bgp]
    silent.sort(key=lambda tunnel: -tunnel.preference)
    default = ip_network(DEFAULT_ROUTE[family])
    return FamilyView(
        family=family,
        default=default,
        max_length=MAX_ANNOUNCED_LENGTH[family],
        announced=announced,
        specifics=_unique(m for a in announcements for m in _inside(a.more_specifics, a.prefix)),
        ranks=_ranks(choices, family),
        home=_unique(h.prefix for h in home),
        replies=_ranks({default: silent}, family) if home else (),
        watched=_watched(home, family, tunnels),
        external=tuple(p for p in plan.external if p.address.version == family),
        internal=internal,
        egress=frozenset(t.name for t in plan.tunnels if t.egress and plan.role is Role.POP),
        routes=_routes(plan, family, tunnels),
        policies=_policies(plan, family, tunnels),
        lans=_lans(plan, family) if internal and plan.role is Role.ROUTER else (),
        accepted={
            peer.tunnel: tuple(p for p in tunnels[peer.tunnel].inner_sources if p.version == family)
            for peer in internal
            if plan.role is Role.ROUTER
        },
        cloud=cloud_view(plan, family),
    )


def _ranks(choices: dict[Prefix, list[TunnelPlan]], family: Family) -> tuple[Rank, ...]:
    routes: dict[int, list[StaticRoute]] = defaultdict(list)
    for prefix, tunnels in choices.items():
        for rank, tunnel in enumerate(tunnels):
            routes[rank].append(StaticRoute(prefix, (_hop(tunnel, family),)))
    return tuple(
        Rank(rank + 1, FIRST_PREFERENCE - rank, tuple(of_rank)) for rank, of_rank in routes.items()
    )


def _routes(plan: NodePlan, family: Family, tunnels: dict[str, TunnelPlan]) -> tuple[Rank, ...]:
    """Static routes by distance; two of one distance to one prefix share the traffic."""
    found: dict[int, dict[Prefix, list[NextHop]]] = defaultdict(lambda: defaultdict(list))
    for route in plan.routes + plan.vpn_routes:
        if route.prefix.version == family:
            hop = _planned(plan, route.hop, family, tunnels)
            found[route.distance][route.prefix].append(hop)
    return tuple(
        Rank(
            distance,
            preference_of(distance),
            tuple(StaticRoute(prefix, _unique(hops)) for prefix, hops in routes.items()),
        )
        for distance, routes in sorted(found.items())
    )


def _policies(plan: NodePlan, family: Family, tunnels: dict[str, TunnelPlan]) -> tuple[Policy, ...]:
    default = ip_network(DEFAULT_ROUTE[family])
    return tuple(
        Policy(
            policy.table,
            tuple(
                Rank(
                    number + 1,
                    FIRST_PREFERENCE - number,
                    (StaticRoute(default, (_planned(plan, hop, family, tunnels),)),),
                )
                for number, hop in enumerate(policy.hops)
            ),
        )
        for policy in plan.policies
        if policy.family == family
    )


def _planned(plan: NodePlan, hop: Hop, family: Family, tunnels: dict[str, TunnelPlan]) -> NextHop:
    if hop.tunnel is not None:
        if hop.tunnel in tunnels:
            return _hop(tunnels[hop.tunnel], family)
        # An IPsec tunnel: whatever its far end is called, a packet has one way to go.
        return NextHop(hop.tunnel, None, False)
    interface = next(
        (
            item.name
            for item in plan.interfaces
            for own in item.addresses
            if hop.gateway is not None and hop.gateway in own.network
        ),
        None,
    )
    return NextHop(interface, hop.gateway, False)


def _lans(plan: NodePlan, family: Family) -> tuple[str, ...]:
    return tuple(
        item.name
        for item in plan.interfaces
        if item.role == "lan" and any(own.version == family for own in item.addresses)
    )


def _watched(
    home: list[HomePrefix], family: Family, tunnels: dict[str, TunnelPlan]
) -> tuple[Watched, ...]:
    """PoPs that share a prefix with another one. A single PoP has nobody to be replaced by."""
    specifics: dict[str, list[Prefix]] = defaultdict(list)
    ways: dict[str, dict[str, TunnelPlan]] = defaultdict(dict)
    for item in home:
        carrying = [tunnels[name] for name in item.tunnels if name in tunnels]
        carrying = [t for t in carrying if _first(t.peer_addresses, family) is not None]
        if len({t.peer for t in carrying}) < 2:
            continue
        for tunnel in carrying:
            ways[tunnel.peer][tunnel.name] = tunnel
        for peer in _unique(t.peer for t in carrying):
            specifics[peer] += _inside(item.more_specifics, item.prefix)
    watched = []
    for peer, lost in specifics.items():
        hops = tuple(_hop(tunnel, family) for tunnel in ways[peer].values())
        address = hops[0].gateway
        if lost and address is not None:
            marker = ip_network((address, address.max_prefixlen))
            watched.append(Watched(peer, marker, address, hops, _unique(lost)))
    return tuple(watched)


def _hop(tunnel: TunnelPlan, family: Family) -> NextHop:
    gateway = _first(tunnel.peer_addresses, family)
    return NextHop(tunnel.name, gateway, tunnel.bfd is not None and gateway is not None)


def _first(addresses: Iterable[Address], family: int) -> Address | None:
    return next((a for a in addresses if a.version == family), None)


def _inside(prefixes: Iterable[Prefix], whole: Prefix) -> list[Prefix]:
    return Owned([whole]).part(prefixes)


def _unique(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))


def router_id(address: Address) -> IPv4Address:
    """BGP's 32-bit identifier (RFC 6286): the address, or the last 32 bits of an IPv6 one."""
    return address if isinstance(address, IPv4Address) else IPv4Address(int(address) & 0xFFFFFFFF)
