"""Which way the replies of a home's prefixes go, and packets that a policy is about."""

from dataclasses import replace
from ipaddress import ip_network

from bongsu.plan.node import PolicyPlan
from bongsu.system.rules import (
    AFTER_POLICIES,
    POLICY_PRIORITY,
    Rule,
    policy_rules,
    reply_rules,
)
from tests.golden.networks import plans


def test_replies_leave_by_the_table_or_not_at_all() -> None:
    for prefix in (ip_network("103.178.34.0/23"), ip_network("2001:db8:34::/48")):
        assert reply_rules([prefix], 103) == [
            Rule(prefix, 1000, 254, main_without_default=True),
            Rule(prefix, 1001, 103),
            Rule(prefix, 1002, None),
        ]


def test_a_policy_is_asked_before_any_route() -> None:
    assert policy_rules(plans("gre-keepalive")["a"]) == [
        Rule(
            ip_network("172.16.1.128/25"),
            100,
            1000,
            destination=ip_network("172.16.2.0/24"),
            interface="lan",
        )
    ]
    assert policy_rules(plans("gre-keepalive")["b"]) == []


def test_policies_keep_their_order_and_their_tables() -> None:
    rules = policy_rules(plans("routers")["hub"])
    looks = [rule for rule in rules if rule.goto is None]
    assert [(rule.priority, rule.table) for rule in looks] == [
        *[(POLICY_PRIORITY, 1000)] * 3,
        (POLICY_PRIORITY + 2, 1001),
        (POLICY_PRIORITY + 4, 1002),
    ]
    assert looks[3].source == ip_network("::/0")
    assert looks[4].source == ip_network("0.0.0.0/0")


def test_a_policy_without_a_next_hop_is_not_left_to_the_next_policy() -> None:
    rules = policy_rules(plans("routers")["hub"])
    by_priority = {rule.priority: rule for rule in rules}
    for look in [by_priority[POLICY_PRIORITY], by_priority[POLICY_PRIORITY + 2]]:
        after = by_priority[look.priority + 1]
        assert after == replace(
            look, priority=look.priority + 1, table=None, goto=AFTER_POLICIES,
            interface=after.interface,
        )  # fmt: skip
    landings = [rule for rule in rules if rule.priority == AFTER_POLICIES]
    assert {rule.source.version for rule in landings} == {4, 6}
    assert POLICY_PRIORITY + 5 not in by_priority  # behind the last there is none to be kept from


def test_a_policy_is_never_for_what_the_machine_sends_or_a_tunnel_brings() -> None:
    plan = plans("routers")["hub"]
    rules = policy_rules(plan)
    asked = [rule.interface for rule in rules if rule.goto is None]
    assert asked == ["wan", "to-west", "lan", "lan", "t-west"]


def test_to_everywhere_is_no_condition() -> None:
    plan = plans("gre-keepalive")["a"]
    whole = plan.policies[0].model_copy(update={"destination": ip_network("0.0.0.0/0")})
    assert isinstance(whole, PolicyPlan)
    (rule,) = policy_rules(plan.model_copy(update={"policies": [whole]}))
    assert rule.destination is None
