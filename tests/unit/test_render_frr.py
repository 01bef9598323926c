"""FRR's files: what goes out and what comes in, and nothing that a reload would stumble over."""

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from bongsu.model.node import RoutingDaemon
from bongsu.model.tunnel import Bfd
from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from bongsu.render.frr.words import prefix_list
from tests.golden.networks import NETWORKS, plans

CONF = "/etc/frr/frr.conf"
FRR = [
    (network, node)
    for network in NETWORKS
    for node, plan in plans(network).items()
    if plan.platform == "linux" and plan.routing == "frr"
]


def text(plan: NodePlan, **changes: Any) -> str:
    update = {"frr_integrated": True, **changes}
    return render_node(plan.model_copy(update=update))[CONF]


def cpe(**changes: Any) -> str:
    """The example's, with its first session alone, changed."""
    plan = plans("hybrid-vpn")["cpe"]
    return text(plan, cloud_peers=[plan.cloud_peers[0].model_copy(update=changes)])


@pytest.mark.parametrize(("network", "node"), FRR)
def test_every_session_is_filtered_both_ways(network: str, node: str) -> None:
    plan = plans(network)[node]
    found = text(plan)
    for peer in plan.cloud_peers:
        for direction in ("in", "out"):
            name = f"{peer.tunnel.upper()}-{direction.upper()}"
            assert f"neighbor {peer.address} route-map {name} {direction}\n" in found
            # The map, the list it asks, and both before they are named.
            assert found.index(f"route-map {name} permit") < found.index("router bgp")
            assert f"prefix-list {name}\n" in found
            assert re.search(rf"^ip(v6)? prefix-list {name} seq", found, re.M)


def test_what_is_not_said_is_a_default() -> None:
    assert "timers 60 180" not in cpe(keepalive_s=60, hold_s=180)
    assert "neighbor 10.10.10.2 timers 6 18\n" in cpe()
    for words, changes in (
        ("ebgp-multihop", {"multihop": None}),
        ("next-hop-self", {"next_hop_self": False}),
        ("soft-reconfiguration", {"soft_reconfiguration": False}),
        ("maximum-prefix", {"max_prefixes": None}),
    ):
        assert words in cpe()
        assert words not in cpe(**changes)
    profile = cpe(bfd=Bfd(interval_ms=300, multiplier=3))
    assert " profile bongsu-300x3\n exit\n" in profile


def test_nothing_announced_is_a_list_that_denies() -> None:
    """FRR lets everything through a list that does not exist."""
    assert "ip prefix-list VTI1-OUT seq 10 deny any\n" in cpe(announce=[])
    assert "ip prefix-list VTI1-IN seq 10 deny any\n" in cpe(accept=[])
    assert "\n  network " in cpe()
    assert "\n  network " not in cpe(announce=[])


def test_accept_any_is_any_and_longer_is_of_the_family() -> None:
    assert "ip prefix-list VTI1-IN seq 10 permit any\n" in cpe(accept=None)
    v6 = [ip_network("2001:db8::/32"), ip_network("2001:db8::1/128")]
    assert prefix_list("A", 6, list(v6), longer=True) == [
        "ipv6 prefix-list A seq 10 permit 2001:db8::/32 le 128",
        "ipv6 prefix-list A seq 20 permit 2001:db8::1/128",
    ]


def test_a_session_carries_its_own_family() -> None:
    both = [ip_network("10.0.0.0/16"), ip_network("2001:db8::/32")]
    found = cpe(announce=both, accept=both)
    assert "2001:db8" not in found


def test_what_another_cloud_tells_is_passed_on_and_not_made_up() -> None:
    plan = plans("hybrid-vpn")["cpe"]
    first, second = plan.cloud_peers
    theirs = ip_network("172.16.0.0/24")
    told = second.model_copy(
        update={"announce": [*second.announce, theirs], "accept": [ip_network("10.99.0.0/16")]}
    )
    found = text(plan, cloud_peers=[first, told])
    assert "permit 172.16.0.0/24\n" in found
    assert " network 172.16.0.0/24" not in found
    assert " network 10.0.0.0/16\n" in found


def test_a_network_without_a_route_of_its_length_is_announced_all_the_same() -> None:
    # The uplink's own network is 10.0.0.0/16: FRR finds its route.
    assert "import-check" not in cpe()
    assert "no bgp network import-check" in cpe(announce=[ip_network("10.0.0.0/8")])


def test_shares() -> None:
    assert "maximum-paths 2\n" in text(plans("vpn-ecmp")["west"])
    assert "maximum-paths 1\n" in text(plans("hybrid-vpn")["cpe"])


def test_active_and_standby_are_so_both_ways() -> None:
    found = text(plans("hybrid-vpn")["cpe"])
    assert re.findall(r"set local-preference (\d+)", found) == ["200", "190"]
    assert re.findall(r"set as-path prepend (.*)", found) == ["65000"]
    assert " set as-path prepend 65000 65000\n" in cpe(prepend=2)


def test_a_router_id_that_is_ipv6_is_its_last_bits() -> None:
    plan = plans("vpn-ipv6")["site"]
    found = text(plan, router_id=ip_address("2001:db8::c0a8:101"))
    assert "bgp router-id 192.168.1.1\n" in found


def test_one_file_or_one_each() -> None:
    for network, node in FRR:
        plan = plans(network)[node]
        one = render_node(plan.model_copy(update={"frr_integrated": True}))
        each = render_node(plan.model_copy(update={"frr_integrated": False}))
        of_frr = [path for path in each if path.startswith("/etc/frr/") and path.endswith(".conf")]
        said = {line for path in of_frr for line in each[path].splitlines()}
        # The same commands, whichever file they are in; that of the way itself apart.
        ways = {"service integrated-vtysh-config", "no service integrated-vtysh-config"}
        ours = {line for line in one[CONF].splitlines() if not line.startswith("! Plan ")}
        assert ours - said == set()
        assert {line for line in said - ours if not line.startswith("! Plan ")} <= ways
        assert CONF not in each


def test_daemons_that_run_have_their_configuration() -> None:
    for network, node in FRR:
        plan = plans(network)[node]
        files = render_node(plan.model_copy(update={"frr_integrated": False}))
        running = re.findall(r"^(\w+)=yes$", files["/etc/frr/daemons"], re.M)
        for daemon in set(running) - {"vtysh_enable"}:
            assert f"/etc/frr/{daemon}.conf" in files
        assert ("bgpd" in running) == bool(plan.cloud_peers)


@pytest.mark.parametrize("network", ["anycast", "routers"])
def test_what_is_proved_with_bird_only_is_refused(network: str) -> None:
    refused = 0
    for plan in plans(network).values():
        if plan.announcements or plan.home or plan.internal or plan.policies:
            with pytest.raises(RenderError, match="routes with FRR"):
                render_node(plan.model_copy(update={"routing": RoutingDaemon.FRR}))
            refused += 1
    assert refused


def test_bfd_over_gre_is_refused() -> None:
    gre = plans("anycast")["home"].tunnels[0]
    assert gre.bfd is not None
    plan = plans("hybrid-vpn")["cpe"]
    with pytest.raises(RenderError, match="no BFD over GRE"):
        text(plan, tunnels=[gre.model_copy(update={"bgp": False})])


def test_static_routes_have_their_distances() -> None:
    each = render_node(plans("vpn-ecmp")["west"])["/etc/frr/staticd.conf"]
    assert "ip route 10.11.0.0/16 10.10.0.2 5\n" in each
    # 1 is the default.
    assert "ip route 10.200.0.0/16 ipsec7\n" in text(plans("vpn-ecmp")["east"])


def test_a_node_has_one_routing_daemon() -> None:
    for network in NETWORKS:
        for plan in plans(network).values():
            if plan.platform != "linux":
                continue
            files = render_node(plan)
            frr = {path for path in files if path.startswith("/etc/frr/")}
            assert ("/etc/bird/bird.conf" in files) != bool(frr)
