"""bird.conf: what may be announced, what a secret leaves behind, what a single PoP is spared."""

import re
from ipaddress import ip_address, ip_network

import pytest

from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from bongsu.render.bird import SECRETS_PATH, secret_constants
from bongsu.render.bird.view import families, router_id
from tests.golden.networks import plans

CONF = "/etc/bird/bird.conf"


def conf(plan: NodePlan) -> str:
    return render_node(plan)[CONF]


def block(text: str, head: str) -> str:
    """A top-level block by how it begins."""
    found = re.search(rf"^{re.escape(head)} {{\n.*?^}}$", text, re.M | re.S)
    assert found, f"no {head!r}"
    return found[0]


def test_secrets_are_constants_and_never_values() -> None:
    plan = plans("anycast")["seoul"]
    assert secret_constants(plan) == {"password_vultr": "env:SEOUL_BGP_PASSWORD"}
    text = conf(plan)
    assert f'include "{SECRETS_PATH}";' in text
    assert "password password_vultr;" in text
    assert "SEOUL_BGP_PASSWORD" not in text


def test_no_secret_no_include() -> None:
    assert secret_constants(plans("anycast")["home"]) == {}
    assert "include" not in conf(plans("anycast")["home"])


def test_only_what_is_owned_gets_in() -> None:
    plan = plans("every-branch")["pop-a"]
    assert any(str(item.prefix) == "9.9.9.0/24" for item in plan.announcements)
    for text in render_node(plan).values():
        assert "9.9.9.0" not in text


def test_more_specifics_stay_inside_of_their_announcement() -> None:
    plan = plans("anycast")["seoul"]
    foreign = plan.announcements[0].model_copy(
        update={"more_specifics": [ip_network("8.8.8.0/24")]}
    )
    assert "8.8.8" not in conf(plan.model_copy(update={"announcements": [foreign]}))


def test_blackhole_is_installed_but_not_announced() -> None:
    text = conf(plans("anycast")["seoul"])
    assert "route 103.178.34.0/23 blackhole;" in block(text, "protocol static discard4")
    export = block(text, "filter export4")
    assert 'proto ~ "announce4_*"' in export
    assert export.count("unset(bgp_community)") == export.count("accept;") == 2
    assert export.rstrip("}").rstrip().endswith("reject;")


def test_export_all_is_said_only_where_it_is_asked_for() -> None:
    text = conf(plans("every-branch")["pop-a"])
    assert "export all;" in block(text, "protocol bgp external_all")
    assert text.count("export all;") == 1


def test_takeover_needs_two_pops() -> None:
    home = plans("anycast")["home"]
    assert "takeover4" in conf(home)
    item = home.home[0].model_copy(update={"tunnels": ["gre-seoul"]})
    alone = conf(home.model_copy(update={"home": [item]}))
    assert "takeover" not in alone
    assert "lost" not in alone


def test_two_tunnels_to_one_pop_are_not_two_pops() -> None:
    home = plans("every-branch")["home-a"]
    (view,) = [view for view in families(home) if view.family == 4]
    assert "198.51.100.0/24" in map(str, view.home)
    assert all("198.51.100" not in str(prefix) for prefix in view.lost)


def test_a_pop_is_alive_while_any_of_its_tunnels_is() -> None:
    alive = block(conf(plans("every-branch")["home-a"]), "protocol static alive6")
    assert "route fd00:3::1/128 via fd00:3::1%'six-1' via fd00:2::1%'a-2' bfd;" in alive


def test_tunnels_of_a_prefix_are_ranked_by_preference() -> None:
    text = conf(plans("every-branch")["pop-a"])
    first = block(text, "protocol static announce4_1")
    second = block(text, "protocol static announce4_2")
    assert "203.0.113.0/24 via 10.99.4.2%'b-1'" in first
    assert "203.0.113.0/24 via 10.99.1.2%'a-1' bfd" in second
    assert int(re.search(r"preference (\d+)", first)[1]) > int(  # type: ignore[index]
        re.search(r"preference (\d+)", second)[1]  # type: ignore[index]
    )


def test_a_family_without_an_inside_address_goes_by_the_interface() -> None:
    assert 'route 2001:db8:1000::/44 via "b-1";' in conf(plans("every-branch")["pop-a"])


def test_home_installs_nothing_but_the_way_of_replies() -> None:
    text = conf(plans("anycast-dual")["home"])
    kernels = re.findall(r"^protocol kernel \S+ {.*?^}", text, re.M | re.S)
    assert len(kernels) == 2
    for kernel in kernels:
        assert "kernel table 103;" in kernel
        assert "import none;" in kernel
        assert re.search(r"export where net = (0\.0\.0\.0|::)/0;", kernel)


def test_families_are_equal() -> None:
    text = conf(plans("anycast-dual")["tokyo"])
    v4, v6 = text.split("# ---- IPv6")
    heads = re.compile(r"^protocol (\w+) ([a-z_]+?)\d?[_\w]*", re.M)
    kinds4 = {match[0] for match in heads.findall(v4.split("# ---- IPv4")[1])}
    assert kinds4 - {"pipe"} == {match[0] for match in heads.findall(v6)}


@pytest.mark.parametrize(("field", "value"), [("name", 'x"; }'), ("name", "x y"), ("name", "X")])
def test_a_hostile_neighbor_cannot_inject(field: str, value: str) -> None:
    plan = plans("anycast")["seoul"]
    peer = plan.external[0].model_copy(update={field: value})
    with pytest.raises(RenderError):
        render_node(plan.model_copy(update={"external": [peer]}))


def test_a_hostile_tunnel_cannot_inject() -> None:
    plan = plans("anycast")["seoul"]
    tunnel = plan.tunnels[0].model_copy(update={"name": "x\"; include '/etc/shadow"})
    with pytest.raises(RenderError):
        render_node(plan.model_copy(update={"tunnels": [tunnel]}))


def test_router_id_of_a_node_without_ipv4() -> None:
    assert str(router_id(ip_address("192.0.2.1"))) == "192.0.2.1"
    assert str(router_id(ip_address("2001:db8::c000:201"))) == "192.0.2.1"


def preference(text: str, head: str) -> int:
    found = re.search(r"preference (\d+);", block(text, head))
    assert found, head
    return int(found[1])


def test_distances_are_ciscos() -> None:
    hub = conf(plans("routers")["hub"])
    ranked = [
        preference(hub, "protocol static route4_1"),
        preference(hub, "protocol bgp external_isp"),  # 20
        preference(hub, "protocol static route4_30"),
        preference(hub, "protocol bgp internal4_t_west"),  # 200
        preference(hub, "protocol static route4_254"),
    ]
    assert ranked == sorted(ranked, reverse=True)
    assert len(set(ranked)) == len(ranked)


def test_a_floating_route_stands_behind_the_tunnel() -> None:
    text = conf(plans("gre-keepalive")["a"])
    assert "route 172.16.2.0/24 via 10.10.10.2%'tunnel0';" in block(
        text, "protocol static route4_1"
    )
    assert "route 172.16.2.0/24 via 172.31.0.6%'eth1';" in block(text, "protocol static route4_250")
    # Without it a route would stay when its link or its tunnel's line is down.
    statics = re.findall(r"^protocol static (?:route|policy)4_\w+ {\n.*?^}$", text, re.M | re.S)
    assert len(statics) == 4
    assert all("check link yes;" in static for static in statics)


def test_routes_of_one_distance_share() -> None:
    assert "route 10.20.0.0/16 via 10.99.1.2%'t-east' bfd via 10.99.2.2%'t-east-b';" in block(
        conf(plans("routers")["hub"]), "protocol static route4_1"
    )


def test_a_policy_has_a_table_of_its_own_and_no_last_resort() -> None:
    text = conf(plans("gre-keepalive")["a"])
    first = preference(text, "protocol static policy4_1000_1")
    assert first > preference(text, "protocol static policy4_1000_2")
    assert "kernel table 1000;" in block(text, "protocol kernel kernel_policy4_1000")
    tables = re.findall(r"^ *route .* (?:unreachable|blackhole);", text, re.M)
    assert tables == []


def test_a_router_takes_from_a_neighbor_its_lans_only() -> None:
    session = block(conf(plans("routers")["hub"]), "protocol bgp internal4_t_west")
    assert "import where net ~ [ 10.30.0.0/24 ];" in session
    assert 'export where proto = "lans4";' in session
