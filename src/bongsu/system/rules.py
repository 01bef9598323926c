"""Policy rules, by netlink, in the caller's network namespace.

Ours carry the rule protocol number 103 (FRA_PROTOCOL, linux/fib_rules.h), so that stale ones are
found again and nobody else's are ever touched. What stands already is left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from pyroute2 import IPRoute

from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan

RULE_PROTOCOL = 103
POLICY_PRIORITY, AFTER_POLICIES = 100, 999
"""Of the first policy and of what comes after the last: all before replies (1000) and any route."""
_FAMILY = {4: 2, 6: 10}
_EVERY_SOURCE = {4: "0.0.0.0", 6: "::"}  # noqa: S104  a prefix, nothing is bound to it
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_MAIN_TABLE = 254
_LOOKUP, _GOTO, _NOTHING, _UNREACHABLE = 1, 2, 3, 7


@dataclass(frozen=True)
class Rule:
    """`ip rule` with `from PREFIX`, and more that has to match if it is given."""

    source: Prefix
    priority: int
    table: int | None
    """None: unreachable, unless it has a `goto`."""
    main_without_default: bool = False
    """`suppress_prefixlength 0`: the table's default route does not count."""
    destination: Prefix | None = None
    interface: str | None = None
    """By which packets arrive; with one, none that the machine itself sends."""
    goto: int | None = None
    """Go on at the rule of this priority, in place of the next. At its own, it is one to go to."""


def reply_rules(prefixes: Iterable[Prefix], table: int) -> list[Rule]:
    """Replies of `prefixes` leave by `table` unless the machine itself knows better, or not at all.

    Without the last rule they would leave by the WAN when no tunnel lives, with a source address
    that the WAN's provider drops (BCP 38), or worse, does not.
    """
    rules = []
    for prefix in prefixes:
        rules += [
            Rule(prefix, 1000, _MAIN_TABLE, main_without_default=True),
            Rule(prefix, 1001, table),
            Rule(prefix, 1002, None),
        ]
    return rules


def policy_rules(plan: NodePlan) -> list[Rule]:
    """Packets of the first policy that matches look into its table; an empty one leaves them to
    the machine's routes.

    A policy without an interface is for all that arrives by one of the machine's, as opposed to a
    tunnel. What the machine itself sends follows its routes, as with Cisco: a tunnel's own packets
    among them, which would otherwise be led into the tunnel.
    """
    outside = [item.name for item in plan.interfaces if item.role != "loopback"]
    rules = []
    for number, policy in enumerate(plan.policies):
        for interface in [policy.interface] if policy.interface else outside:
            priority = POLICY_PRIORITY + 2 * number
            rule = Rule(
                policy.source or ip_network(_EVERYTHING[policy.family]),
                priority,
                policy.table,
                destination=_narrow(policy.destination),
                interface=interface,
            )
            rules.append(rule)
            if number < len(plan.policies) - 1:
                # A policy without a next hop is not left to those behind it.
                rules.append(replace(rule, priority=priority + 1, table=None, goto=AFTER_POLICIES))
    for family in {policy.family for policy in plan.policies[:-1]}:
        everything = ip_network(_EVERYTHING[family])
        rules.append(Rule(everything, AFTER_POLICIES, None, goto=AFTER_POLICIES))
    return rules


def set_rules(
    wanted: Iterable[Rule], protocol: int = RULE_PROTOCOL
) -> tuple[list[Rule], list[Rule]]:
    """Make our rules exactly these; returns (added, removed). Raises NetlinkError.

    protocol: by which they are known; others' are left alone.
    """
    goal = set(wanted)
    with IPRoute() as ip:
        present = {
            rule
            for family in (4, 6)
            for message in ip.get_rules(family=_FAMILY[family])
            if (rule := _rule(message, family, protocol)) is not None
        }
        # What is gone to is there before who goes.
        added = sorted(goal - present, key=lambda rule: (rule.goto != rule.priority, rule.priority))
        removed = sorted(present - goal, key=lambda rule: rule.priority)
        # New before old: a reply never finds a gap.
        for rule in added:
            ip.rule("add", **_arguments(rule, protocol))
        for rule in removed:
            ip.rule("del", **_arguments(rule, protocol))
    return added, removed


def _narrow(prefix: Prefix | None) -> Prefix | None:
    # The kernel does not tell `to 0.0.0.0/0` from nothing, and compared they would never be equal.
    return prefix if prefix is not None and prefix.prefixlen else None


def _rule(message: Any, family: int, protocol: int) -> Rule | None:
    if message.get_attr("FRA_PROTOCOL") != protocol:
        return None
    source = message.get_attr("FRA_SRC") or _EVERY_SOURCE[family]
    priority, action = message.get_attr("FRA_PRIORITY"), message["action"]
    looks_up = action not in (_UNREACHABLE, _GOTO, _NOTHING)
    destination = message.get_attr("FRA_DST")
    return Rule(
        ip_network(f"{source}/{message['src_len']}"),
        priority,
        (message.get_attr("FRA_TABLE") or message["table"]) if looks_up else None,
        main_without_default=message.get_attr("FRA_SUPPRESS_PREFIXLEN") == 0,
        destination=ip_network(f"{destination}/{message['dst_len']}") if destination else None,
        interface=message.get_attr("FRA_IIFNAME"),
        goto=priority if action == _NOTHING else message.get_attr("FRA_GOTO"),
    )


def _action(rule: Rule) -> int:
    if rule.goto is not None:
        return _NOTHING if rule.goto == rule.priority else _GOTO
    return _UNREACHABLE if rule.table is None else _LOOKUP


def _arguments(rule: Rule, protocol: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "family": _FAMILY[rule.source.version],
        "src": str(rule.source.network_address),
        "src_len": rule.source.prefixlen,
        "priority": rule.priority,
        "protocol": protocol,
        "action": _action(rule),
    }
    if rule.goto is not None and rule.goto != rule.priority:
        arguments["goto"] = rule.goto
    if rule.table is not None:
        arguments["table"] = rule.table
    if rule.destination is not None:
        arguments["dst"] = str(rule.destination.network_address)
        arguments["dst_len"] = rule.destination.prefixlen
    if rule.interface is not None:
        arguments["iifname"] = rule.interface
    if rule.main_without_default:
        arguments["FRA_SUPPRESS_PREFIXLEN"] = 0
    return arguments
