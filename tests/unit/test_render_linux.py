"""nftables, sysctl and netplan: each rule of the security page has its line."""

import re

import pytest

from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from bongsu.render.nftables.sets import named_sets
from bongsu.render.sysctl.render import settings
from tests.golden.networks import NETWORKS, plans

NFT = "/etc/nftables.d/60-bongsu.nft"
SYSCTL = "/etc/sysctl.d/60-bongsu.conf"
NETPLAN = "/etc/netplan/60-bongsu.yaml"

ALL = [(network, node) for network in NETWORKS for node in plans(network)]
LINUX = [(n, node) for n, node in ALL if plans(n)[node].platform == "linux"]


def elements(plan: NodePlan) -> dict[str, tuple[str, ...]]:
    return {named.name: named.elements for named in named_sets(plan)}


@pytest.mark.parametrize(("network", "node"), LINUX)
def test_every_set_that_is_used_exists_and_none_is_idle(network: str, node: str) -> None:
    text = render_node(plans(network)[node])[NFT]
    declared = set(re.findall(r"^  (?:set|map) (\w+) ", text, re.M))
    assert set(re.findall(r"@(\w+)", text)) - {"th"} == declared
    assert "elements = {\n    }" not in text


@pytest.mark.parametrize(("network", "node"), LINUX)
def test_every_counter_that_is_used_is_declared(network: str, node: str) -> None:
    text = render_node(plans(network)[node])[NFT]
    used = set(re.findall(r"counter name (\w+)", text))
    assert used <= set(re.findall(r"^  counter (\w+) {", text, re.M))


def test_only_our_own_table_is_replaced() -> None:
    text = render_node(plans("anycast")["seoul"])[NFT]
    code = [line for line in text.splitlines() if line and not line.startswith(("#", " ", "}"))]
    assert code == ["table inet bongsu {}", "delete table inet bongsu", "table inet bongsu {"]
    assert "flush" not in text


def test_gre_is_admitted_by_peer_and_key() -> None:
    sets = elements(plans("every-branch")["pop-a"])
    assert "10.2.0.2 . 10.0.4.2 . 0x2000 . 0xffffffff" in sets["gre_keyed4"]
    assert "10.3.0.2 . 10.0.0.2 . 0x2000 . 0x0" in sets["gre_keyed4"]
    assert sets["gre_plain4"] == ("10.2.0.2 . 10.0.0.2 . 0x0",)
    assert sets["gre_plain6"] == ("2001:db8:c::2 . 2001:db8:a::2 . 0x0",)


def test_a_keepalive_is_sent_back_only_where_the_other_end_sends_one() -> None:
    # The far end of a-1, home-a, has turned it off: pop-a has none to send back.
    assert "keepalive4" not in elements(plans("every-branch")["pop-a"])
    home = elements(plans("every-branch")["home-a"])
    assert home["keepalive_back4"] == ('"a-1" . "wan" . 10.2.0.2 . 10.0.0.2',)
    accept = [s.key for s in settings(plans("every-branch")["home-a"]) if "accept_local" in s.key]
    assert accept == ["net/ipv4/conf/a-1/accept_local"]
    assert not any("accept_local" in s.key for s in settings(plans("every-branch")["pop-a"]))


def test_tunnel_to_uplink_needs_egress_and_never_at_home() -> None:
    pop = plans("anycast")["seoul"]
    assert elements(pop)["egress4"] == ('"gre-seoul" . 103.178.34.0/23',)
    closed = pop.tunnels[0].model_copy(update={"egress": False})
    assert "egress4" not in elements(pop.model_copy(update={"tunnels": [closed]}))
    assert "egress4" not in elements(plans("anycast")["home"])


def test_inner_sources_are_the_prefix_and_the_peer() -> None:
    assert elements(plans("anycast")["seoul"])["inner4"] == (
        '"gre-seoul" . 10.99.1.2',
        '"gre-seoul" . 103.178.34.0/23',
    )
    assert elements(plans("anycast")["home"])["inner4"] == (
        '"gre-seoul" . 0.0.0.0/0',
        '"gre-tokyo" . 0.0.0.0/0',
    )


def test_mss_is_the_mtu_less_headers_of_each_family() -> None:
    sets = elements(plans("anycast-dual")["seoul"])
    assert sets["mss4"] == ('"gre-seoul" : 1432',)
    assert sets["mss6"] == ('"gre-seoul" : 1412',)


def test_nothing_is_set_for_all_interfaces_that_would_open_them() -> None:
    for network, node in LINUX:
        plan = plans(network)[node]
        # One strict tunnel has strictness moved from all interfaces to each (see render/sysctl).
        strict = any(tunnel.rpf == "strict" for tunnel in plan.tunnels)
        for setting in settings(plan):
            assert "/all/accept_local" not in setting.key
            assert "rp_filter" not in setting.key or setting.value == 2 or strict
            assert re.fullmatch(r"net/[a-z0-9_]+(/[A-Za-z0-9_.-]+)*/[a-z0-9_]+", setting.key)


def test_keys_are_unique_and_forwarding_comes_first() -> None:
    for network, node in LINUX:
        keys = [setting.key for setting in settings(plans(network)[node])]
        assert len(keys) == len(set(keys))
        assert keys[0].endswith(("ip_forward", "forwarding"))


def test_dotted_interface_names_survive() -> None:
    text = render_node(plans("every-branch")["pop-a"])[SYSCTL]
    assert "net/ipv6/conf/eth0.10/accept_ra = 2" in text


def test_an_uplink_that_has_a_gateway_is_not_touched() -> None:
    for node in plans("anycast-dual"):
        assert "ens3" not in render_node(plans("anycast-dual")[node])[SYSCTL]


def test_netplan_keeps_replies_to_the_lan_here() -> None:
    text = render_node(plans("anycast")["home"])[NETPLAN]
    local = text.index('to: "103.178.34.0/23"')
    assert text[local:].index("table: 254") < text[local:].index("table: 103")
    assert "routing-policy" not in render_node(plans("anycast")["seoul"])[NETPLAN]


def test_outer_ipv6_is_another_mode() -> None:
    text = render_node(plans("every-branch")["pop-a"])[NETPLAN]
    assert 'mode: ip6gre\n      local: "2001:db8:a::2"' in text


def test_no_tunnels_no_netplan_and_no_tunnel_rules() -> None:
    plan = plans("anycast")["seoul"]
    bare = plan.model_copy(update={"tunnels": [], "internal": [], "announcements": []})
    files = render_node(bare)
    assert NETPLAN not in files
    assert not re.search(r"@tunnels|chain (arriving|forward|clamp|\w*tunnel\w*) ", files[NFT])
    assert "forward" not in files[SYSCTL]


@pytest.mark.parametrize("name", ["a b", 'a"', "a;b", "a\nb", "a*", ""])
def test_a_hostile_interface_cannot_inject(name: str) -> None:
    plan = plans("anycast")["seoul"]
    uplink = plan.interfaces[0].model_copy(update={"name": name})
    with pytest.raises(RenderError):
        render_node(plan.model_copy(update={"interfaces": [uplink]}))
