"""VRFs, static routes and policy routing.

A policy's next hops are one list of addresses, for IOS judges `set interface` only after all of
`set ip next-hop`, wherever they stand. A tunnel's is the inside address of its peer: with the
tunnel's line protocol down its network is gone, and the next address is taken.
"""

from collections.abc import Iterator

from bongsu.model.base import Address, Family
from bongsu.plan.ios import hop_address, policy_families
from bongsu.plan.node import Hop, NodePlan, PolicyPlan, RoutePlan
from bongsu.render.ios.access import FAMILIES, policy_name
from bongsu.render.ios.words import Names, Section, destination, in_vrf, ip
from bongsu.render.text import RenderError, address, name, number

SEQUENCE_STEP = 10


def vrfs(plan: NodePlan) -> Iterator[Section]:
    """Definitions of every VRF that anything of the node is in."""
    used = [item.vrf for item in plan.interfaces]
    used += [vrf for tunnel in plan.tunnels for vrf in (tunnel.vrf, tunnel.transport_vrf)]
    for vrf in dict.fromkeys(vrf for vrf in used if vrf is not None):
        yield [
            f"vrf definition {name(vrf)}",
            " address-family ipv4",
            " exit-address-family",
            " address-family ipv6",
            " exit-address-family",
        ]


def static_routes(plan: NodePlan, names: Names) -> Section:
    """Default routes by the gateways, then the plan's own."""
    lines = [
        f"{ip(gateway.version)} route{in_vrf(item.vrf)} {_default(gateway)} "
        f"{names.port(item.name)} {address(gateway)}"
        for item in plan.interfaces
        for gateway in item.gateways
    ]
    return lines + [_static(plan, names, route) for route in plan.routes]


def route_maps(plan: NodePlan) -> Iterator[Section]:
    """One for each choice of policies that some interface has, IPv4 and IPv6 apart."""
    for family in FAMILIES:
        for chosen in _choices(plan, family):
            for index in chosen:
                policy = plan.policies[index]
                head = f"route-map {_map_name(chosen, family)} permit {number(_sequence(index))}"
                hops = " ".join(_hop(plan, hop, family) for hop in policy.hops)
                yield [
                    head,
                    f" match {ip(family)} address {policy_name(index, family)}",
                    f" set {ip(family)} next-hop {hops}",
                ]


def policy_map(plan: NodePlan, interface: str, family: Family) -> str | None:
    """The route map of what arrives by the interface; None if no policy looks at it."""
    chosen = _chosen(plan, interface, family)
    return _map_name(chosen, family) if chosen else None


def _static(plan: NodePlan, names: Names, route: RoutePlan) -> str:
    vrf, via = _via(plan, names, route.hop, route.prefix.version)
    distance = f" {number(route.distance)}" if route.distance != 1 else ""
    word = ip(route.prefix.version)
    return f"{word} route{in_vrf(vrf)} {destination(route.prefix)} {via}{distance}"


def _via(plan: NodePlan, names: Names, hop: Hop, family: Family) -> tuple[str | None, str]:
    """The VRF of a next hop, and its spelling."""
    if hop.gateway is not None:
        return _vrf_of(plan, hop.gateway), address(hop.gateway)
    if hop.tunnel is None:
        raise RenderError("a next hop is neither an address nor a tunnel")
    tunnel = plan.tunnel(hop.tunnel)
    # A multipoint tunnel leads to many: the interface alone would not say to whom.
    peer = f" {_hop(plan, hop, family)}" if tunnel.multipoint else ""
    return tunnel.vrf, names.tunnel(tunnel.name) + peer


def _vrf_of(plan: NodePlan, gateway: Address) -> str | None:
    """The VRF of the network that the gateway is on."""
    networks = [(item.addresses, item.vrf) for item in plan.interfaces]
    networks += [(tunnel.addresses, tunnel.vrf) for tunnel in plan.tunnels]
    for addresses, vrf in networks:
        if any(own.version == gateway.version and gateway in own.network for own in addresses):
            return vrf
    return None


def _hop(plan: NodePlan, hop: Hop, family: Family) -> str:
    found = hop_address(plan, hop, family)
    if found is None:
        raise RenderError(f"{hop.tunnel or hop.gateway} is no next hop of IPv{family}")
    return address(found)


def _default(gateway: Address) -> str:
    return "0.0.0.0 0.0.0.0" if gateway.version == 4 else "::/0"


def _choices(plan: NodePlan, family: Family) -> list[tuple[int, ...]]:
    places = [item.name for item in plan.interfaces if item.role != "loopback"]
    places += [tunnel.name for tunnel in plan.tunnels]
    found = (_chosen(plan, place, family) for place in places)
    return list(dict.fromkeys(chosen for chosen in found if chosen))


def _chosen(plan: NodePlan, interface: str, family: Family) -> tuple[int, ...]:
    return tuple(
        index
        for index, policy in enumerate(plan.policies)
        if policy.interface in (None, interface) and _is_about(plan, policy, family)
    )


def _is_about(plan: NodePlan, policy: PolicyPlan, family: Family) -> bool:
    return family in policy_families(plan, policy)


def _sequence(index: int) -> int:
    return (index + 1) * SEQUENCE_STEP


def _map_name(chosen: tuple[int, ...], family: Family) -> str:
    """After the policies in it, so that one interface's map does not depend on another's."""
    places = "-".join(number(index) for index in chosen)
    return f"POLICY-{places}" + ("" if family == 4 else "-6")
