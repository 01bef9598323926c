"""A plan that was written can be read again, whatever is in it."""

from bongsu.model.access import AccessRule
from bongsu.model.tunnel import Keepalive
from bongsu.plan.node import NodePlan
from tests.golden.networks import NETWORKS, plans


def test_every_plan_comes_back() -> None:
    found = [plan for network in NETWORKS for plan in plans(network).values()]
    assert any(tunnel.inbound for plan in found for tunnel in plan.tunnels)
    for plan in found:
        text = plan.canonical_json()
        again = NodePlan.model_validate_json(text)
        assert again == plan
        assert again.canonical_json() == text


def test_what_is_written_is_what_may_be_said() -> None:
    fast = Keepalive(milliseconds=100)
    assert "seconds" not in fast.model_dump()
    assert Keepalive.model_validate_json(fast.model_dump_json()) == fast
    assert Keepalive().model_dump()["seconds"] == 10
    rule = AccessRule.model_validate({"permit": "gre", "from": "192.0.2.1/32"})
    assert AccessRule.model_validate_json(rule.model_dump_json()) == rule
