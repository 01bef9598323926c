"""BGP006: two nodes with one router id, or a node without one."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.model.node import Role


def check(scene: Scene) -> Iterator[Finding]:
    """Router ids as the plans have them (RFC 4271 section 4.2, RFC 6286)."""
    seen: dict[Address, str] = {}
    for name, plan in scene.plans.items():
        router = scene.network.nodes[name].role is Role.ROUTER
        alone = router and not (plan.external or plan.internal)
        if alone and not plan.cloud_peers:
            continue  # nobody ever hears it
        given = scene.network.nodes[name].bgp.router_id is not None
        path = ("nodes", name, "bgp", "router_id") if given else ("nodes", name)
        if plan.router_id.version != 4 or int(plan.router_id) == 0:
            yield Finding(
                "BGP006",
                Severity.ERROR,
                path,
                f"{name} has no usable router id: {plan.router_id} is not four octets above zero",
                f"set nodes.{name}.bgp.router_id to an IPv4 address of your choice, "
                "different at every node",
            )
        elif alone:
            continue  # clouds compare it with nobody's
        elif plan.router_id in seen:
            yield Finding(
                "BGP006",
                Severity.ERROR,
                path,
                f"{name} and {seen[plan.router_id]} both have the router id {plan.router_id}: "
                "neither takes the other's routes",
                f"set nodes.{name}.bgp.router_id",
            )
        else:
            seen[plan.router_id] = name
