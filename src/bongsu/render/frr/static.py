"""NodePlan -> staticd's part: routes with distances, into tunnels and to routers."""

from bongsu.plan.node import Hop, NodePlan, RoutePlan
from bongsu.render.frr.words import Section, family_word
from bongsu.render.text import address, interface, number


def static_routes(plan: NodePlan) -> Section:
    """`ip route` and `ipv6 route`; a distance of 1 is the default and not written."""
    return [_route(route) for route in plan.routes + plan.vpn_routes]


def _route(route: RoutePlan) -> str:
    words = [family_word(route.prefix), "route", address(route.prefix), _hop(route.hop)]
    if route.distance != 1:
        words.append(number(route.distance))
    return " ".join(words)


def _hop(hop: Hop) -> str:
    if hop.gateway is not None:
        return address(hop.gateway)
    assert hop.tunnel is not None
    # Point to point: whatever the far end is called, the packet has one way to go.
    return interface(hop.tunnel)
