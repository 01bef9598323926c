"""Renders /etc/netplan/60-bongsu.yaml: loopbacks, tunnels, their addresses, home's policy rules.

netplan brings the tunnels up at boot, before and without the agent, on a kernel with ip_gre. What
goes through them is BIRD's to say: a route written here would stand while the tunnel is dead.
"""

from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.text import address, interface, number

PATH = "/etc/netplan/60-bongsu.yaml"

MODES = {4: "gre", 6: "ip6gre"}
"""netplan's tunnel mode by outer family."""

LOCAL_RULE, REPLY_RULE = 1000, 1001
"""Priorities of policy rules; the agent uses the same."""

MAIN_TABLE = 254

# Neither is in netplan 0.106: `tos inherit`, and `suppress_prefixlength` of policy rules.
LIMITS = {
    "tos": "TOS is not set: netplan cannot. The agent copies the inner one.",
    "rules": "Replies to networks here stay here. netplan cannot say `suppress_prefixlength 0`, "
    "so they are named.",
}


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}`, or nothing for a node without tunnels and loopbacks."""
    loopbacks = [
        own for item in plan.interfaces if item.role == "loopback" for own in item.addresses
    ]
    if not plan.tunnels and not loopbacks:
        return {}
    rules = _rules(plan)
    lines = [f"# {line}" for line in header]
    if plan.tunnels:
        lines.append(f"# {LIMITS['tos']}")
    if rules:
        lines.append(f"# {LIMITS['rules']}")
    lines += ["", "network:", "  version: 2"]
    if loopbacks:
        # Whatever the file calls it: Linux has one.
        lines += ["  ethernets:", "    lo:", "      addresses:"]
        lines += [f'        - "{address(own)}"' for own in loopbacks]
    if plan.tunnels:
        lines.append("  tunnels:")
    for tunnel in plan.tunnels:
        lines += _tunnel(tunnel, rules.get(tunnel.name, []))
    return {PATH: "\n".join(lines) + "\n"}


def _tunnel(tunnel: TunnelPlan, rules: list[str]) -> list[str]:
    lines = [
        f'    "{interface(tunnel.name)}":',
        f"      mode: {MODES[tunnel.local.version]}",
        f'      local: "{address(tunnel.local)}"',
        f'      remote: "{address(tunnel.remote)}"',
        f"      ttl: {number(tunnel.ttl)}",
    ]
    if tunnel.key is not None:
        lines.append(f"      key: {number(tunnel.key)}")
    lines += [f"      mtu: {number(tunnel.mtu)}", "      addresses:"]
    lines += [f'        - "{address(own)}"' for own in tunnel.addresses]
    lines += ["      accept-ra: false", "      link-local: []"]
    return [*lines, "      routing-policy:", *rules] if rules else lines


def _rules(plan: NodePlan) -> dict[str, list[str]]:
    """Policy rules of the prefixes at home, each with the first tunnel that carries it."""
    lans: list[Prefix] = [
        own.network
        for network in plan.interfaces
        if network.role == "lan"
        for own in network.addresses
    ]
    rules: dict[str, list[str]] = {}
    for item in plan.home:
        if not item.tunnels:
            continue
        here = dict.fromkeys([item.prefix, *(n for n in lans if n.version == item.prefix.version)])
        mine = rules.setdefault(item.tunnels[0], [])
        for network in here:
            mine += _rule(item.prefix, MAIN_TABLE, LOCAL_RULE, network)
        mine += _rule(item.prefix, plan.reply_table, REPLY_RULE)
    return rules


def _rule(source: Prefix, table: int, priority: int, to: Prefix | None = None) -> list[str]:
    lines = [f'        - from: "{address(source)}"']
    if to is not None:
        lines.append(f'          to: "{address(to)}"')
    return [
        *lines,
        f"          table: {number(table)}",
        f"          priority: {number(priority)}",
    ]
