"""Renders /etc/nftables.d/60-bongsu.nft: one table of our own, replaced as a whole by `nft -f`.

Its chains come in front of the machine's own and only take away: a verdict `accept` here ends this
table's chain, not the others'. No conntrack is used, so that forwarding stays as fast as it was.
"""

from pathlib import Path

from bongsu.plan.node import NodePlan
from bongsu.render import template
from bongsu.render.nftables.sets import named_sets
from bongsu.render.template import Admitted

PATH = "/etc/nftables.d/60-bongsu.nft"

COUNTERS = (
    "gre_foreign",
    "bgp_foreign",
    "bfd_foreign",
    "inner_source_foreign",
    "spoofed",
    "redirects",
    "tunnel_input",
    "tunnel_to_tunnel",
    "tunnel_to_uplink",
    "tunnel_elsewhere",
    "into_tunnel",
    "home_leak",
    "entered",
)
"""What is dropped, by reason, and what has `entered` for a tunnel; named counters of the table."""


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}`, for `nft -f`."""
    sets = named_sets(plan)
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "counters": [Admitted(counter) for counter in COUNTERS],
        "sets": [Admitted(named.text()) for named in sets],
        "has": {named.name for named in sets},
        "families": [(4, Admitted("ip")), (6, Admitted("ip6"))],
    }
    return {PATH: template.load(Path(__file__).parent, "ruleset.nft.j2").render(values)}
