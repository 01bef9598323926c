"""Access lists: what may come out of a tunnel, and what a policy matches.

A list that the file states is written as it stands. Without one, the list says what the plan says
of every platform: who belongs behind the tunnel (BCP 38), and the far end's keepalives, which come
out of it as packets from this end's own source (Cisco's document 118370).
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from bongsu.model.access import AccessRule
from bongsu.model.base import Family, Prefix
from bongsu.plan.ios import policy_families
from bongsu.plan.node import NodePlan
from bongsu.plan.reflection import keepalive_route
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.ios.words import Names, Section, indented, matched
from bongsu.render.text import number

GRE = 47
"""IPv6 access lists have no word for it, only its number."""
FAMILIES: tuple[Family, ...] = (4, 6)


def inbound_name(names: Names, tunnel: TunnelPlan, family: Family) -> str:
    """Name of the list of what comes out of the tunnel."""
    return names.of_tunnel(tunnel.name, "IN" if family == 4 else "IN6")


def policy_name(index: int, family: Family) -> str:
    """Name of the list of what the policy of that place matches."""
    return f"POLICY{number(index)}" + ("" if family == 4 else "-6")


def inbound_families(tunnel: TunnelPlan) -> list[Family]:
    """Families that come out of the tunnel: those of its inside, and that of its keepalives."""
    found = {address.version for address in tunnel.addresses}
    if tunnel.peer_keepalive is not None:
        found.add(tunnel.local.version)
    return [family for family in FAMILIES if family in found]


def access_lists(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Every list of the node, before anything that names it."""
    for tunnel in plan.tunnels:
        for family in inbound_families(tunnel):
            lines = (
                _implied(tunnel, family)
                if tunnel.inbound is None
                else _stated(tunnel.inbound, family)
            )
            yield _section(inbound_name(names, tunnel, family), family, lines)
    for vpn in plan.vpns:
        yield _section(names.of_tunnel(vpn.name, "IN"), 4, _out_of(vpn))
    for index, policy in enumerate(plan.policies):
        for family in policy_families(plan, policy):
            line = _permit("ip", policy.source, policy.destination, family)
            yield _section(policy_name(index, family), family, [line])


def _section(name: str, family: Family, lines: Iterable[str]) -> Section:
    head = f"ip access-list extended {name}" if family == 4 else f"ipv6 access-list {name}"
    # An empty list permits everything, so one that is to permit nothing has to say it.
    return [head, *indented(list(lines) or [_deny(family)])]


def _stated(rules: list[AccessRule], family: Family) -> Iterator[str]:
    for rule in rules:
        if all(prefix is None or prefix.version == family for prefix in (rule.from_, rule.to)):
            yield _permit(rule.permit, rule.from_, rule.to, family)


def _implied(tunnel: TunnelPlan, family: Family) -> Iterator[str]:
    if tunnel.peer_keepalive is not None:
        source, destination = (ip_network(end) for end in keepalive_route(tunnel))
        if source.version == family:
            yield _permit("gre", source, destination, family)
    peers = [ip_network(peer) for peer in tunnel.peer_addresses]
    own = [ip_network(address.ip) for address in tunnel.addresses]
    destinations = _of_family([*own, *tunnel.inner_destinations], family)
    for source in _of_family([*peers, *tunnel.inner_sources], family):
        for destination in destinations:
            yield _permit("ip", source, destination, family)


def _out_of(vpn: VpnTunnelPlan) -> Iterator[str]:
    """What may come out of a cloud's tunnel: the cloud's networks to ours, and the two ends."""
    inside = [vpn.peer_inside] if vpn.peer_inside is not None else []
    own = [vpn.inside.ip] if vpn.inside is not None else []
    sources = _of_family([*(ip_network(ip) for ip in inside), *vpn.remote_networks], 4)
    destinations = _of_family([*(ip_network(ip) for ip in own), *vpn.local_networks], 4)
    for source in sources:
        for destination in destinations:
            yield _permit("ip", source, destination, 4)


def _of_family(prefixes: list[Prefix], family: Family) -> list[Prefix]:
    if family == 4:
        return list(collapse_addresses(p for p in prefixes if isinstance(p, IPv4Network)))
    return list(collapse_addresses(p for p in prefixes if isinstance(p, IPv6Network)))


def _permit(what: str, source: Prefix | None, to: Prefix | None, family: Family) -> str:
    word = {"ip": "ipv6", "gre": number(GRE)}.get(what, what) if family == 6 else what
    return f"permit {word} {matched(source)} {matched(to)}"


def _deny(family: Family) -> str:
    return f"deny {'ip' if family == 4 else 'ipv6'} any any"
