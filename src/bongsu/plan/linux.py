"""What is not built for Linux yet, as far as a plan may ask for it.

Linux itself can do all of it. Left out silently it would be a tunnel in the clear or in the wrong
routing table, so it is refused.
"""

from collections.abc import Iterator

from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.tunnel import TunnelPlan


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that is not built; the plan's own platform does not matter."""
    for item in plan.interfaces:
        if item.vrf is not None:
            yield Refusal(
                ("nodes", plan.node, "interfaces", item.name, "vrf"),
                f"VRFs are not built on Linux nodes, and {item.name} is in {item.vrf}",
                "take `vrf` out, or separate the networks by nodes",
            )
    vrfs = {item.name: item.vrf for item in plan.interfaces}
    for tunnel in plan.tunnels:
        yield from _tunnel(plan.node, tunnel, vrfs[tunnel.underlay])


def _tunnel(node: str, tunnel: TunnelPlan, underlay: str | None) -> Iterator[Refusal]:
    end = ("tunnels", tunnel.name, "ends", node)
    for field, vrf in (("vrf", tunnel.vrf), ("transport_vrf", tunnel.transport_vrf)):
        # The outside's VRF is the underlay's where none is stated, and that is told above.
        if vrf is not None and not (field == "transport_vrf" and vrf == underlay):
            yield Refusal(
                (*end, field),
                f"VRFs are not built on Linux nodes, and {tunnel.name} is to be in {vrf}",
                f"take `{field}` out, or separate the networks by nodes",
            )
    if tunnel.ipsec is not None:
        yield Refusal(
            ("tunnels", tunnel.name, "ipsec"),
            f"IPsec around GRE is not built on Linux nodes, so {tunnel.name} would go in the clear",
            "take `ipsec` out and set up IPsec by hand, or have IOS at both ends",
        )
    if tunnel.multipoint:
        yield Refusal(
            ("tunnels", tunnel.name, "multipoint"),
            f"multipoint GRE is not built on Linux nodes, and {tunnel.name} is to be one",
            "a tunnel for each peer",
        )
