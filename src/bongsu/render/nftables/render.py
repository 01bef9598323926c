"""Renders /etc/nftables.d/60-bongsu.nft: one table of our own, replaced as a whole by `nft -f`.

Its chains come in front of the machine's own and only take away: a verdict `accept` here ends this
table's chain, not the others'. No conntrack is used, so that forwarding stays as fast as it was.
"""

from dataclasses import dataclass
from pathlib import Path

from bongsu.model.access import AccessRule
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render import template, text
from bongsu.render.nftables.relay import relay_ports
from bongsu.render.nftables.sets import named_sets
from bongsu.render.nftables.vpn import all_ends, any_of, ike_ports, outside, verdicts
from bongsu.render.template import Admitted

PATH = "/etc/nftables.d/60-bongsu.nft"

COUNTERS = (
    "gre_foreign",
    "bgp_foreign",
    "bfd_foreign",
    "inner_source_foreign",
    "inbound_denied",
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

VPN_COUNTERS = ("ike_foreign", "vpn_clear", "vpn_leak")
"""On nodes with VPN tunnels: IKE and ESP of strangers; what came from the far side, and what wanted to
go there, without encryption."""

RELAY_COUNTERS = ("relay_foreign",)
"""On PoPs that carry accelerators: what strangers sent to the relay's ports."""

PROTOCOLS = {"gre": "gre", "icmp": "{ icmp, ipv6-icmp }", "tcp": "tcp", "udp": "udp"}
"""Of access lists, as nftables names them; ICMP is that of either family."""


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}`, for `nft -f`."""
    sets = named_sets(plan)
    counters = COUNTERS + (VPN_COUNTERS if plan.vpns else ())
    counters += RELAY_COUNTERS if plan.relay is not None else ()
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "counters": [Admitted(counter) for counter in counters],
        "sets": [Admitted(named.text()) for named in sets],
        "has": {named.name for named in sets},
        "clamped": bool(plan.tunnels) or any("mss" in named.name for named in sets),
        "lists": [_access_list(t) for t in plan.tunnels if t.inbound is not None],
        "relay_ports": relay_ports(plan),
        "ike_ports": Admitted(ike_ports(plan)) if plan.vpns else None,
        "ends": all_ends(plan),
        "verdicts": verdicts,
        "any_of": any_of,
        "outside": [item.name for item in outside(plan)] if plan.vpns else [],
        "families": [(4, Admitted("ip")), (6, Admitted("ip6"))],
    }
    return {PATH: template.load(Path(__file__).parent, "ruleset.nft.j2").render(values)}


@dataclass(frozen=True)
class AccessList:
    """The inbound access list of a tunnel."""

    tunnel: str
    chain: Admitted
    matches: tuple[Admitted, ...]
    """What a packet has to match one of."""


def _access_list(tunnel: TunnelPlan) -> AccessList:
    matches = tuple(_match(rule) for rule in tunnel.inbound or [])
    return AccessList(tunnel.name, Admitted(f"inbound_{text.symbol(tunnel.name)}"), matches)


def _match(rule: AccessRule) -> Admitted:
    words = [
        f"{'ip' if prefix.version == 4 else 'ip6'} {side} {text.address(prefix)}"
        for side, prefix in (("saddr", rule.from_), ("daddr", rule.to))
        if prefix is not None
    ]
    if rule.permit != "ip":
        words.append(f"meta l4proto {PROTOCOLS[rule.permit]}")
    return Admitted("".join(f"{word} " for word in words))
