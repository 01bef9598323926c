"""The filter and the kernel settings of a VPN's gateway, and BIRD's sessions in it."""

import re
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.model.base import Prefix
from bongsu.model.vpn import Binding
from bongsu.plan.node import Hop, NodePlan, RoutePlan
from bongsu.render import render_node
from bongsu.render.bird import secret_constants
from bongsu.render.nftables.pairs import disjoint
from bongsu.render.nftables.sets import named_sets
from bongsu.render.nftables.vpn import all_ends, outside
from bongsu.render.sysctl.render import settings
from tests.golden.networks import plans

BIRD = "/etc/bird/bird.conf"


def prefixes(bits: int) -> st.SearchStrategy[Prefix]:
    """Networks below 10.0.0.0/(32 - bits), few enough to overlap often."""
    base = int(ip_address("10.0.0.0"))

    def network(length: int, number: int) -> Prefix:
        host = bits - length
        return ip_network((base + (number >> host << host), 32 - host))

    lengths, numbers = st.integers(0, bits), st.integers(0, 2**bits - 1)
    return st.builds(network, lengths, numbers)


@given(st.lists(st.tuples(prefixes(4), prefixes(4)), max_size=8))
def test_disjoint_pairs_are_the_same_addresses_each_once(pairs: list[Any]) -> None:
    def addresses(of: list[Any]) -> list[Any]:
        return [cell for here, there in of for cell in product(list(here), list(there))]

    found = addresses(disjoint(pairs))
    assert len(found) == len(set(found))
    assert set(found) == set(addresses(pairs))


def sets(plan: NodePlan) -> dict[str, tuple[str, ...]]:
    return {named.name: named.elements for named in named_sets(plan)}


def theirs(plan: NodePlan) -> dict[str, str | None]:
    """What IPv4 sources each tunnel's chain lets in."""
    return {tunnel: end.theirs.get(4) for end in all_ends(plan) for tunnel in end.tunnels}


def away(plan: NodePlan) -> list[str]:
    """Uplinks behind which nothing is ours."""
    return [item.name for item in outside(plan)]


def tunnels(plan: NodePlan, **changes: Any) -> NodePlan:
    changed = [t.model_copy(update=changes) for t in plan.vpns]
    return plan.model_copy(update={"vpns": changed})


def test_everything_at_the_far_side_is_no_guard() -> None:
    """With 0.0.0.0/0 guarded, the machine itself would lose the Internet with its tunnel."""
    plan = tunnels(plans("hybrid-vpn")["cpe"], remote_networks=[ip_network("0.0.0.0/0")])
    bare = plan.model_copy(update={"cloud_peers": []})
    guarded = sets(bare)["vpn_pairs4"]
    assert all("10.10.10." in pair for pair in guarded)
    # It may speak out of the tunnel all the same.
    assert theirs(bare)["vti1"] == "0.0.0.0/0"


def test_what_bgp_may_bring_may_pass() -> None:
    plan = plans("hybrid-vpn")["cpe"]
    peer = plan.cloud_peers[0].model_copy(update={"accept": [ip_network("172.30.0.0/16")]})
    changed = plan.model_copy(update={"cloud_peers": [peer]})
    assert theirs(changed) == {"vti1": "{ 172.16.0.0/23, 172.30.0.0/16 }", "vti2": "172.16.0.0/23"}
    assert "10.0.0.0/16 . 172.30.0.0/16" in sets(changed)["vpn_pairs4"]
    assert "172.30.0.0/16" in sets(changed)["vpn_far4"]
    anything = peer.model_copy(update={"accept": None})
    found = theirs(plan.model_copy(update={"cloud_peers": [anything]}))
    assert found == {"vti1": "0.0.0.0/0", "vti2": "172.16.0.0/23"}


def test_tunnels_between_the_same_networks_share_their_chains() -> None:
    plan = plans("vpn-policy")["branch"]
    shared = [end.tunnels for end in all_ends(plan)]
    assert shared == [("legacy",), ("aws-1", "aws-2"), ("depot-a", "depot-b")]
    text = render_node(plan)["/etc/nftables.d/60-bongsu.nft"]
    for chain in ("arriving_by_vpn", "out_of_vpn", "into_vpn"):
        assert len(re.findall(rf"chain {chain}_", text)) == len(shared)
        assert len(re.findall(rf": (?:jump|goto) {chain}_", text)) == len(plan.vpns)


def test_no_packet_of_a_tunnel_is_looked_up_by_name_and_prefix() -> None:
    """The kernel does it a byte of the name at a time: half of what the filter took of a tunnel."""
    slow = [
        named.name
        for network in ("hybrid-vpn", "vpn-policy", "vpn-ipv6")
        for plan in plans(network).values()
        for named in named_sets(plan)
        if named.interval and "ifname" in named.type
    ]
    assert not slow


def test_the_leak_guard_asks_for_one_address_first() -> None:
    """Both addresses, and the interface's name, only of what may be the far side's."""
    for network in ("hybrid-vpn", "vpn-policy", "vpn-ipv6"):
        for plan in plans(network).values():
            text = render_node(plan).get("/etc/nftables.d/60-bongsu.nft", "")
            guards = re.findall(r"\n +(.*@vpn_(?:policy_)?pairs[46] .*)", text)
            assert all(re.match(r"ip6? [sd]addr @vpn_far[46] ", guard) for guard in guards)
            assert bool(guards) == bool(plan.vpns)


def test_an_uplink_that_leads_to_our_networks_is_not_outside() -> None:
    # Document E's gateway stands on the link of the hosts it forwards for.
    plan = plans("hybrid-vpn")["cpe"]
    assert away(plan) == []
    assert away(plans("vpn-policy")["branch"]) == ["wan"]
    elsewhere = tunnels(plan, local_networks=[ip_network("10.77.0.0/16")])
    elsewhere = elsewhere.model_copy(update={"cloud_peers": []})
    assert away(elsewhere) == ["ens3"]
    hop = Hop(gateway=ip_address("10.0.0.2"), tunnel=None)
    by_route = RoutePlan(prefix=ip_network("10.77.0.0/16"), hop=hop, distance=1)
    assert away(elsewhere.model_copy(update={"routes": [by_route]})) == []


def test_gre_inside_ipsec_has_gateways_too() -> None:
    plan = plans("hybrid-vpn")["cpe"]
    gre = plans("ios-tunnel-protection")["a"].tunnels[0]
    assert gre.ipsec is not None
    found = sets(plan.model_copy(update={"tunnels": [gre]}))["ike4"]
    assert f"{gre.remote} . {gre.local}" in found


def test_without_vpns_the_filter_knows_nothing_of_them() -> None:
    for node in plans("anycast"):
        text = render_node(plans("anycast")[node])["/etc/nftables.d/60-bongsu.nft"]
        assert not re.search("vpn|ike_foreign|4500", text)


def values(plan: NodePlan) -> dict[str, int]:
    return {setting.key: setting.value for setting in settings(plan)}


def test_redirects_are_neither_sent_nor_taken() -> None:
    found = values(plans("hybrid-vpn")["cpe"])
    for name, word in product(("all", "default", "ens3", "vti1"), ("accept", "send")):
        assert found[f"net/ipv4/conf/{name}/{word}_redirects"] == 0
    # Of a machine without a VPN they are its own business.
    assert "net/ipv4/conf/all/accept_redirects" not in values(plans("anycast")["seoul"])


@pytest.mark.parametrize(
    ("binding", "found"), [(Binding.VTI, True), (Binding.XFRM, False), (Binding.POLICY, None)]
)
def test_settings_of_a_tunnels_interface(binding: Binding, found: bool | None) -> None:
    plan = tunnels(plans("hybrid-vpn")["cpe"], binding=binding)
    keys = values(plan)
    assert ("net/ipv4/conf/vti1/rp_filter" in keys) == (found is not None)
    assert ("net/ipv4/conf/vti1/disable_policy" in keys) == bool(found)


@pytest.mark.parametrize(("rpf", "value"), [("loose", 2), ("strict", 1)])
def test_reverse_path_filter_of_a_vpns_tunnel(rpf: str, value: int) -> None:
    keys = values(tunnels(plans("hybrid-vpn")["cpe"], rpf=rpf))
    assert keys["net/ipv4/conf/vti1/rp_filter"] == value
    assert keys.get("net/ipv4/conf/all/rp_filter") == (0 if rpf == "strict" else None)
    # A policy has no interface whose filter could be wanted.
    by_policy = values(tunnels(plans("hybrid-vpn")["cpe"], rpf=rpf, binding=Binding.POLICY))
    assert "net/ipv4/conf/all/rp_filter" not in by_policy


def test_forwarding_is_of_the_families_that_are_joined() -> None:
    assert "net/ipv6/conf/all/forwarding" not in values(plans("hybrid-vpn")["cpe"])
    assert values(plans("vpn-ipv6")["site"])["net/ipv6/conf/all/forwarding"] == 1


def bird(plan: NodePlan, **changes: Any) -> str:
    """With the first session alone, changed."""
    peer = plan.cloud_peers[0].model_copy(update=changes)
    return render_node(plan.model_copy(update={"cloud_peers": [peer]}))[BIRD]


def test_bird_says_what_frr_says() -> None:
    plan = plans("vpn-policy")["branch"]
    assert "hold time 30;\n  keepalive time 10;\n" in bird(plan)
    assert "multihop 7;" in bird(plan, multihop=7)
    assert "import table yes;" in bird(plan, soft_reconfiguration=True)
    assert "import limit 5 action disable;" in bird(plan, max_prefixes=5)
    assert "import limit" not in bird(plan, max_prefixes=None)
    assert bird(plan, prepend=3).count("bgp_path.prepend(65000);") == 3
    assert "bgp_local_pref = 170;" in bird(plan, preference=170)


def test_bird_takes_and_tells_nothing_that_is_not_named() -> None:
    plan = plans("vpn-policy")["branch"]
    assert "export none;" in bird(plan, announce=[])
    nothing = bird(plan, accept=[])
    assert re.search(r"import filter \{\n      reject;", nothing)
    everything = bird(plan, accept=None)
    assert re.search(r"import filter \{\n      bgp_local_pref", everything)
    assert "172.31.0.0/16+" in bird(plan)


def test_bird_tells_a_cloud_of_nothing_in_the_kernel() -> None:
    text = render_node(plans("vpn-policy")["branch"])[BIRD]
    kernel = text[text.index("protocol kernel kernel4") :].split("\n}\n")[0]
    assert "own4" not in kernel
    assert "inside4" not in kernel
    assert re.findall(r'proto ~ "(\w+)', kernel) == ["route4_", "cloud4_"]


def test_bird_shares_by_merging_paths() -> None:
    plan = plans("vpn-policy")["branch"]
    assert "merge paths" not in render_node(plan)[BIRD]
    equal = [p.model_copy(update={"preference": 200, "prepend": 0}) for p in plan.cloud_peers]
    text = render_node(plan.model_copy(update={"cloud_peers": equal}))[BIRD]
    assert "merge paths yes limit 2;" in text


def test_a_neighbor_and_a_tunnel_of_one_name_have_two_passwords() -> None:
    plan = plans("vpn-policy")["branch"]
    outside = plans("anycast")["seoul"].external[0]
    peer = outside.model_copy(update={"name": "aws-1"})
    found = secret_constants(plan.model_copy(update={"external": [peer]}))
    assert {"password_aws_1", "cloud_password_aws_1"} <= set(found)
    assert found["password_aws_1"] == peer.password
    assert found["cloud_password_aws_1"] == plan.cloud_peers[0].password
