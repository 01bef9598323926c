"""What is not rendered for FRR, as far as a plan may ask for it: then the node needs BIRD.

FRR could do all of it. It is here for what a VPN to a cloud needs, static routes and the sessions
inside IPsec tunnels; the rest is proved with BIRD only, and left out silently it would be a network
that half works. Judged in one place: a check tells it with its line in the file, and the renderer
refuses.
"""

from collections.abc import Iterator

from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal

REMEDY = "leave `routing` out: BIRD does it"


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that FRR is not given; the plan's own `routing` does not matter."""
    node = ("nodes", plan.node)
    if plan.announcements:
        yield Refusal(
            (*node, "announce"),
            f"no announcement to the Internet is rendered for FRR, and {plan.node} has some",
            REMEDY,
        )
    if plan.home:
        yield Refusal(
            (*node, "role"),
            f"what PoPs carry home is not rendered for FRR, and {plan.node} is such a home",
            REMEDY,
        )
    if plan.external:
        yield Refusal(
            (*node, "bgp", "neighbors"),
            f"of BGP FRR is given the sessions inside IPsec tunnels only, and {plan.node} has "
            "neighbors",
            REMEDY,
        )
    for tunnel in plan.tunnels:
        if tunnel.bgp:
            yield Refusal(
                ("tunnels", tunnel.name, "bgp"),
                f"no BGP over GRE is rendered for FRR, which {plan.node} routes with, and "
                f"{tunnel.name} has it",
                "set `bgp: false` and give both ends routes, or leave `routing` out: BIRD does it",
            )
        if tunnel.bfd is not None:
            yield Refusal(
                ("tunnels", tunnel.name, "bfd"),
                f"no BFD over GRE is rendered for FRR, which {plan.node} routes with: the far end of "
                f"{tunnel.name} would wait for it for ever",
                "take `bfd` out: keepalives see the tunnel's end, too; or leave `routing` out",
            )
    if plan.policies:
        yield Refusal(
            (*node, "policies"),
            f"no policy routes are rendered for FRR, and {plan.node} has some",
            REMEDY,
        )
