"""NodePlan -> the sets and maps that the rules look into.

One look-up for any number of tunnels: what a tunnel may do is an element, never a rule of its own.
A set that would be empty is left out, and so are the rules that would use it.
"""

from collections.abc import Iterator

from bongsu.model.base import InterfaceName, Prefix
from bongsu.model.node import Role
from bongsu.plan.node import NodePlan
from bongsu.plan.reflection import keepalive_route, reflects
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.nftables.relay import relay_sets
from bongsu.render.nftables.vpn import vpn_mss, vpn_sets
from bongsu.render.nftables.words import (
    TCP_IP_HEADER,
    NamedSet,
    by_tunnel,
    collapsed,
    ip_of,
    quoted,
    type_of,
    unique,
)
from bongsu.render.owned import Owned
from bongsu.render.text import address, number

KEY_PRESENT = 0x2000
"""The first 16 bits of a GRE header with a key and nothing else (RFC 2890); 0 without."""


def named_sets(plan: NodePlan) -> list[NamedSet]:
    """All sets of the node that are not empty."""
    found = [
        NamedSet("tunnels", "type ifname", tuple(quoted(t.name) for t in plan.tunnels)),
        NamedSet("uplinks", "type ifname", tuple(quoted(i.name) for i in plan.uplinks())),
    ]
    for family in (4, 6):
        found += _outer(plan, family)
        found += _inner(plan, family)
        found += _control(plan, family)
        found.append(_mss(plan, family))
        found += relay_sets(plan, family)
    found += vpn_sets(plan)
    named = [s for s in found if s.elements]
    guarded = any("pairs" in s.name for s in named)
    # Nobody asks which interfaces are uplinks where there is nothing to be kept from them.
    return [s for s in named if s.name != "uplinks" or plan.tunnels or guarded or plan.home]


def _outer(plan: NodePlan, family: int) -> list[NamedSet]:
    """GRE peers, (remote, local, flags[, key]), and the keepalives that are sent back for them."""
    ip = ip_of(family)
    pair = f"typeof {ip} saddr . {ip} daddr . @th,0,16"
    tunnels = [t for t in plan.tunnels if t.local.version == family]
    keyed = [
        f"{address(t.remote)} . {address(t.local)} . {KEY_PRESENT:#x} . {t.key:#x}"
        for t in tunnels
        if t.key is not None
    ]
    plain = [f"{address(t.remote)} . {address(t.local)} . 0x0" for t in tunnels if t.key is None]
    kind = type_of(family)
    return [
        NamedSet(f"gre_keyed{family}", f"{pair} . @th,32,32", unique(keyed)),
        NamedSet(f"gre_plain{family}", pair, unique(plain)),
        NamedSet(
            f"keepalive{family}",
            f"type ifname . {kind} . {kind}",
            tuple(f"{quoted(t.name)} . {way}" for t, way, _out in _reflected(plan, family)),
        ),
        NamedSet(
            f"keepalive_back{family}",
            f"type ifname . ifname . {kind} . {kind}",
            tuple(
                f"{quoted(t.name)} . {quoted(out)} . {way}"
                for t, way, ways_out in _reflected(plan, family)
                for out in ways_out
            ),
        ),
    ]


def _reflected(
    plan: NodePlan, family: int
) -> Iterator[tuple[TunnelPlan, str, list[InterfaceName]]]:
    """Tunnels whose peer's keepalives go back, from whom to whom, and by which interfaces."""
    for t in plan.tunnels:
        source, destination = keepalive_route(t)
        if t.peer_keepalive is None or source.version != family or not reflects(t, plan.platform):
            continue
        # Between inside addresses the way back is the tunnel itself.
        outside = [t.underlay, *t.other_underlays] if source == t.local else [t.name]
        yield t, f"{address(source)} . {address(destination)}", outside


def _inner(plan: NodePlan, family: int) -> list[NamedSet]:
    """Inner addresses by tunnel: who may speak out of it, what is carried, what may leave again."""
    owned = Owned(plan.owned)
    pop = plan.role is Role.POP
    carried: dict[str, list[Prefix]] = {}
    speaking: dict[str, list[Prefix]] = {}
    leaving: dict[str, list[Prefix]] = {}
    for t in plan.tunnels:
        if plan.role is Role.ROUTER:
            carried[t.name] = t.inner_destinations
            speaking[t.name] = t.inner_sources
            asked = {prefix.version for prefix in t.inner_destinations}
            leaving[t.name] = [p for p in t.inner_sources if t.egress and p.version in asked]
            continue
        # What a tunnel brings home is a destination at the PoP's end and a source at home's.
        carried[t.name] = owned.part(t.inner_sources if pop else t.inner_destinations)
        speaking[t.name] = carried[t.name] if pop else t.inner_sources
        leaving[t.name] = carried[t.name] if pop and t.egress else []
    peers = tuple(
        f"{quoted(t.name)} . {address(peer)}"
        for t in plan.tunnels
        for peer in t.peer_addresses
        if peer.version == family and not any(peer in prefix for prefix in speaking[t.name])
    )
    kind = f"type ifname . {type_of(family)}"
    home = collapsed(owned.part(item.prefix for item in plan.home), family)
    return [
        NamedSet(f"inner{family}", kind, peers + by_tunnel(speaking, family), interval=True),
        NamedSet(f"carried{family}", kind, by_tunnel(carried, family), interval=True),
        NamedSet(f"egress{family}", kind, by_tunnel(leaving, family), interval=True),
        NamedSet(f"home{family}", f"type {type_of(family)}", home, interval=True),
    ]


def _control(plan: NodePlan, family: int) -> list[NamedSet]:
    """Who may speak BGP and BFD to us: (neighbor, us), on the one interface where it is known."""
    kind = type_of(family)
    external = [p for p in plan.external if p.address.version == family]
    internal = [p for p in plan.internal if p.address.version == family]
    far = [p for p in external if p.bfd is not None and p.multihop is not None]
    near = [
        f"{quoted(p.interface)} . {address(p.address)} . {address(p.local)}"
        for p in external
        if p.bfd is not None and p.multihop is None
    ]
    over_tunnels = [
        f"{quoted(t.name)} . {address(theirs)} . {address(ours.ip)}"
        for t in plan.tunnels
        if t.bfd is not None
        for theirs in t.peer_addresses
        for ours in t.addresses
        if theirs.version == family == ours.version
    ]
    return [
        NamedSet(
            f"bgp_external{family}",
            f"type {kind} . {kind}",
            unique(f"{address(p.address)} . {address(p.local)}" for p in external),
        ),
        NamedSet(
            f"bgp_internal{family}",
            f"type ifname . {kind} . {kind}",
            unique(
                f"{quoted(p.tunnel)} . {address(p.address)} . {address(p.local)}" for p in internal
            ),
        ),
        NamedSet(
            f"bfd_near{family}",
            f"type ifname . {kind} . {kind}",
            unique(near + over_tunnels),
        ),
        NamedSet(
            f"bfd_far{family}",
            f"type {kind} . {kind}",
            unique(f"{address(p.address)} . {address(p.local)}" for p in far),
        ),
    ]


def _mss(plan: NodePlan, family: int) -> NamedSet:
    header = TCP_IP_HEADER[family]
    return NamedSet(
        f"mss{family}",
        "typeof iifname : tcp option maxseg size",
        tuple(
            f"{quoted(t.name)} : {number(t.mtu - header)}"
            for t in plan.tunnels
            if any(p.version == family for p in t.inner_sources + t.inner_destinations)
        )
        + vpn_mss(plan, family),
        kind="map",
    )
