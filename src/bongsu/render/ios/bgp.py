"""BGP with a cloud: sessions inside the tunnels, and what may pass them either way.

What goes out is listed, what comes in too, unless the file accepts anything. A prefix that is
announced has to stand in the routing table, so one that nothing leads to gets a route to nowhere.
"""

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer
from bongsu.render.ios.words import Names, Section, destination, placeholder
from bongsu.render.text import RenderError, address, name, number

STEP = 5
NOWHERE_DISTANCE = 254
"""So far off that any other route is better."""


def bgp_filters(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Prefix lists and route maps, two of each for a session."""
    for peer in plan.cloud_peers:
        outward, inward = _labels(names, peer)
        yield _prefix_list(outward, [(prefix, "") for prefix in peer.announce])
        if peer.accept is not None:
            longer = [(p, f" le {p.max_prefixlen}" * (p.prefixlen < 32)) for p in peer.accept]
            yield _prefix_list(inward, longer)
        prepend = " ".join([str(plan.asn)] * peer.prepend)
        yield [
            f"route-map {outward} permit 10",
            f" match ip address prefix-list {outward}",
            *([f" set as-path prepend {prepend}"] if prepend else []),
        ]
        yield [
            f"route-map {inward} permit 10",
            *([f" match ip address prefix-list {inward}"] if peer.accept is not None else []),
            f" set local-preference {number(peer.preference)}",
        ]


def bgp(plan: NodePlan, names: Names) -> Iterator[Section]:
    """The BGP process."""
    if not plan.cloud_peers:
        return
    prefixes = dict.fromkeys(prefix for peer in plan.cloud_peers for prefix in peer.announce)
    yield [
        f"router bgp {number(plan.asn)}",
        f" bgp router-id {address(plan.router_id)}",
        " bgp log-neighbor-changes",
        " no bgp default ipv4-unicast",
        *(f" {line}" for peer in plan.cloud_peers for line in _session(names, peer)),
        " address-family ipv4",
        *(f"  network {_masked(prefix)}" for prefix in prefixes),
        *(f"  {line}" for peer in plan.cloud_peers for line in _unicast(names, peer)),
        *(f"  maximum-paths {number(paths)}" for paths in [_equal_paths(plan)] if paths > 1),
        " exit-address-family",
    ]


def vpn_routes(plan: NodePlan, names: Names) -> Section:
    """Static routes into the tunnels, and to nowhere for what only BGP speaks of."""
    lines = []
    for route in plan.vpn_routes:
        if route.hop.tunnel is None:
            raise RenderError("a VPN's route leads into one of its tunnels")
        distance = f" {number(route.distance)}" if route.distance != 1 else ""
        way = names.tunnel(route.hop.tunnel)
        lines.append(f"ip route {destination(route.prefix)} {way}{distance}")
    known = {own.network for item in plan.interfaces for own in item.addresses}
    known |= {route.prefix for route in plan.routes}
    announced = dict.fromkeys(prefix for peer in plan.cloud_peers for prefix in peer.announce)
    return lines + [
        f"ip route {destination(prefix)} Null0 {number(NOWHERE_DISTANCE)}"
        for prefix in announced
        if prefix not in known
    ]


def _session(names: Names, peer: CloudPeer) -> Iterator[str]:
    far = f"neighbor {address(peer.address)}"
    yield f"{far} remote-as {number(peer.asn)}"
    yield f"{far} description {name(peer.vpn)} by {name(peer.tunnel)}"
    if peer.multihop is not None:
        yield f"{far} ebgp-multihop {number(peer.multihop)}"
    yield f"{far} update-source {names.tunnel(peer.tunnel)}"
    yield f"{far} timers {number(peer.keepalive_s)} {number(peer.hold_s)}"
    if peer.password is not None:
        yield f"! {far} password {placeholder(peer.password)}"


def _unicast(names: Names, peer: CloudPeer) -> Iterator[str]:
    far = f"neighbor {address(peer.address)}"
    outward, inward = _labels(names, peer)
    yield f"{far} activate"
    if peer.next_hop_self:
        yield f"{far} next-hop-self"
    if peer.soft_reconfiguration:
        yield f"{far} soft-reconfiguration inbound"
    yield f"{far} route-map {inward} in"
    yield f"{far} route-map {outward} out"
    if peer.max_prefixes is not None:
        yield f"{far} maximum-prefix {number(peer.max_prefixes)}"


def _labels(names: Names, peer: CloudPeer) -> tuple[str, str]:
    return names.of_tunnel(peer.tunnel, "TO-CLOUD"), names.of_tunnel(peer.tunnel, "FROM-CLOUD")


def _prefix_list(label: str, prefixes: list[tuple[Prefix, str]]) -> Section:
    lines = [
        f"ip prefix-list {label} seq {number(place * STEP)} permit {address(prefix)}{longer}"
        for place, (prefix, longer) in enumerate(prefixes, start=1)
    ]
    # An empty list would be none at all, and let everything pass.
    return lines or [f"ip prefix-list {label} seq {number(STEP)} deny 0.0.0.0/0 le 32"]


def _masked(prefix: Prefix) -> str:
    if not isinstance(prefix, IPv4Network):
        raise RenderError("BGP with a cloud is rendered for IPv4")
    return f"{address(prefix.network_address)} mask {prefix.netmask}"


def _equal_paths(plan: NodePlan) -> int:
    """How many sessions of one connection are equally good."""
    counts = Counter((peer.vpn, peer.preference) for peer in plan.cloud_peers)
    return max(counts.values(), default=1)
