"""NodePlan -> the sets and maps that the rules look into.

One look-up for any number of tunnels: what a tunnel may do is an element, never a rule of its own.
A set that would be empty is left out, and so are the rules that would use it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import cast

from bongsu.model.base import InterfaceName, Prefix
from bongsu.model.node import Role
from bongsu.plan.node import NodePlan
from bongsu.plan.reflection import keepalive_route, reflects
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.owned import Owned
from bongsu.render.text import address, interface, number

KEY_PRESENT = 0x2000
"""The first 16 bits of a GRE header with a key and nothing else (RFC 2890); 0 without."""

TCP_IP_HEADER = {4: 40, 6: 60}
"""Bytes of IP and TCP header without options; the MTU less these is the MSS (RFC 879, RFC 8201)."""


@dataclass(frozen=True)
class NamedSet:
    """A named set, or with values `key : value` a map."""

    name: str
    type: str
    elements: tuple[str, ...]
    kind: str = "set"
    interval: bool = False

    def text(self) -> str:
        """The declaration, indented for the table's body."""
        lines = [f"  {self.kind} {self.name} {{", f"    {self.type}"]
        if self.interval:
            lines.append("    flags interval")
        lines += ["    elements = {", *(f"      {e}," for e in self.elements), "    }", "  }"]
        return "\n".join(lines)


def named_sets(plan: NodePlan) -> list[NamedSet]:
    """All sets of the node that are not empty."""
    found = [
        NamedSet("tunnels", "type ifname", tuple(_if(t.name) for t in plan.tunnels)),
        NamedSet("uplinks", "type ifname", tuple(_if(i.name) for i in plan.uplinks())),
    ]
    for family in (4, 6):
        found += _outer(plan, family)
        found += _inner(plan, family)
        found += _control(plan, family)
        found.append(_mss(plan, family))
    return [s for s in found if s.elements]


def _outer(plan: NodePlan, family: int) -> list[NamedSet]:
    """GRE peers, (remote, local, flags[, key]), and the keepalives that are sent back for them."""
    ip = _ip(family)
    pair = f"typeof {ip} saddr . {ip} daddr . @th,0,16"
    tunnels = [t for t in plan.tunnels if t.local.version == family]
    keyed = [
        f"{address(t.remote)} . {address(t.local)} . {KEY_PRESENT:#x} . {t.key:#x}"
        for t in tunnels
        if t.key is not None
    ]
    plain = [f"{address(t.remote)} . {address(t.local)} . 0x0" for t in tunnels if t.key is None]
    kind = _type(family)
    return [
        NamedSet(f"gre_keyed{family}", f"{pair} . @th,32,32", _unique(keyed)),
        NamedSet(f"gre_plain{family}", pair, _unique(plain)),
        NamedSet(
            f"keepalive{family}",
            f"type ifname . {kind} . {kind}",
            tuple(f"{_if(t.name)} . {way}" for t, way, _out in _reflected(plan, family)),
        ),
        NamedSet(
            f"keepalive_back{family}",
            f"type ifname . ifname . {kind} . {kind}",
            tuple(
                f"{_if(t.name)} . {_if(out)} . {way}"
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
        f"{_if(t.name)} . {address(peer)}"
        for t in plan.tunnels
        for peer in t.peer_addresses
        if peer.version == family and not any(peer in prefix for prefix in speaking[t.name])
    )
    kind = f"type ifname . {_type(family)}"
    home = _collapsed(owned.part(item.prefix for item in plan.home), family)
    return [
        NamedSet(f"inner{family}", kind, peers + _by_tunnel(speaking, family), interval=True),
        NamedSet(f"carried{family}", kind, _by_tunnel(carried, family), interval=True),
        NamedSet(f"egress{family}", kind, _by_tunnel(leaving, family), interval=True),
        NamedSet(f"home{family}", f"type {_type(family)}", home, interval=True),
    ]


def _control(plan: NodePlan, family: int) -> list[NamedSet]:
    """Who may speak BGP and BFD to us: (neighbor, us), on the one interface where it is known."""
    kind = _type(family)
    external = [p for p in plan.external if p.address.version == family]
    internal = [p for p in plan.internal if p.address.version == family]
    far = [p for p in external if p.bfd is not None and p.multihop is not None]
    near = [
        f"{_if(p.interface)} . {address(p.address)} . {address(p.local)}"
        for p in external
        if p.bfd is not None and p.multihop is None
    ]
    over_tunnels = [
        f"{_if(t.name)} . {address(theirs)} . {address(ours.ip)}"
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
            _unique(f"{address(p.address)} . {address(p.local)}" for p in external),
        ),
        NamedSet(
            f"bgp_internal{family}",
            f"type ifname . {kind} . {kind}",
            _unique(
                f"{_if(p.tunnel)} . {address(p.address)} . {address(p.local)}" for p in internal
            ),
        ),
        NamedSet(
            f"bfd_near{family}",
            f"type ifname . {kind} . {kind}",
            _unique(near + over_tunnels),
        ),
        NamedSet(
            f"bfd_far{family}",
            f"type {kind} . {kind}",
            _unique(f"{address(p.address)} . {address(p.local)}" for p in far),
        ),
    ]


def _mss(plan: NodePlan, family: int) -> NamedSet:
    header = TCP_IP_HEADER[family]
    return NamedSet(
        f"mss{family}",
        "typeof iifname : tcp option maxseg size",
        tuple(
            f"{_if(t.name)} : {number(t.mtu - header)}"
            for t in plan.tunnels
            if any(p.version == family for p in t.inner_sources + t.inner_destinations)
        ),
        kind="map",
    )


def _by_tunnel(prefixes: dict[str, list[Prefix]], family: int) -> tuple[str, ...]:
    return tuple(
        f"{_if(tunnel)} . {prefix}"
        for tunnel, of_tunnel in prefixes.items()
        for prefix in _collapsed(of_tunnel, family)
    )


def _collapsed(prefixes: Iterable[Prefix], family: int) -> tuple[str, ...]:
    """Intervals of a set must not overlap."""
    mine = [prefix for prefix in prefixes if prefix.version == family]
    if len(mine) < 2:
        return tuple(address(prefix) for prefix in mine)
    if family == 4:
        merged: Iterable[Prefix] = collapse_addresses(cast(list[IPv4Network], mine))
    else:
        merged = collapse_addresses(cast(list[IPv6Network], mine))
    return tuple(address(prefix) for prefix in merged)


def _if(value: str) -> str:
    return f'"{interface(value)}"'


def _ip(family: int) -> str:
    return "ip" if family == 4 else "ip6"


def _type(family: int) -> str:
    return "ipv4_addr" if family == 4 else "ipv6_addr"


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
