"""Settings that carry keepalives home, tunnel by tunnel, and nothing that opens the machine."""

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from bongsu.model.node import Role
from bongsu.model.tunnel import Keepalive
from bongsu.plan.node import InterfacePlan, NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.sysctl.render import machine_settings, settings
from tests.golden.networks import plans

ALL = "net/ipv4/conf/all"


def with_tunnel(**changes: Any) -> NodePlan:
    plan = plans("anycast")["seoul"]
    tunnel = plan.tunnels[0].model_copy(update={"name": "t", **changes})
    return plan.model_copy(update={"tunnels": [tunnel]})


def values(plan: NodePlan) -> dict[str, int]:
    return {setting.key: setting.value for setting in settings(plan)}


@pytest.mark.parametrize(("rpf", "value"), [(None, 2), ("loose", 2), ("strict", 1)])
def test_reverse_path_filter_of_the_tunnel(rpf: str | None, value: int) -> None:
    found = values(with_tunnel(rpf=rpf))
    assert found["net/ipv4/conf/t/rp_filter"] == value
    # 1 on the tunnel would mean nothing below 2 on all; 2 on the tunnel means 2 whatever is on all
    assert found.get(f"{ALL}/rp_filter") == (0 if rpf == "strict" else None)


def test_own_addresses_come_in_by_that_tunnel_only() -> None:
    assert values(with_tunnel(peer_keepalive=Keepalive()))["net/ipv4/conf/t/accept_local"] == 1
    assert "net/ipv4/conf/t/accept_local" not in values(with_tunnel(peer_keepalive=None))
    for rpf in (None, "loose", "strict"):
        found = values(with_tunnel(rpf=rpf, peer_keepalive=Keepalive()))
        assert f"{ALL}/accept_local" not in found


def bare(**changes: Any) -> NodePlan:
    plan = plans("anycast")["seoul"]
    nothing: dict[str, Any] = {
        "tunnels": [],
        "announcements": [],
        "home": [],
        "internal": [],
        "external": [],
    }
    return plan.model_copy(update=nothing | changes)


def forwarded(plan: NodePlan) -> set[str]:
    return {each.key for each in machine_settings(plan) if "forward" in each.key}


def test_a_router_forwards_what_it_has_addresses_of() -> None:
    assert forwarded(bare()) == set()
    link = InterfacePlan(
        name="wire0",
        role="link",
        addresses=[ip_interface("192.0.2.1/30"), ip_interface("2001:db8::1/64")],
        gateways=[],
        mtu=1500,
    )
    plan = bare(role=Role.ROUTER, interfaces=[link])
    assert forwarded(plan) == {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"}


def routed(*others: str) -> TunnelPlan:
    outer = {"local": ip_address("2001:db8::1"), "remote": ip_address("2001:db8::2")}
    quiet = {"keepalive": None, "peer_keepalive": None}
    tunnel = plans("anycast")["seoul"].tunnels[0]
    return tunnel.model_copy(update={**outer, **quiet, "other_underlays": list(others)})


def test_the_way_to_a_peer_is_told_only_where_packets_are_forwarded() -> None:
    assert forwarded(bare(tunnels=[routed()])) == set()
    assert forwarded(bare(tunnels=[routed("eth1")])) == {"net/ipv6/conf/all/forwarding"}


def test_a_relay_forwards_nothing_of_the_machines_own_interfaces() -> None:
    """Only what it asks in the name of `lo` is answered."""
    plan = plans("accelerated-vpn")["pop-tokyo"]
    assert plan.relay is not None
    assert plan.relay.accelerators == []
    found = {each.key: each.value for each in settings(plan) if "forward" in each.key}
    assert found == {"net/ipv4/conf/lo/forwarding": 1}
