"""IKE daemons' files: what a plan says is said in each daemon's words, and nothing else gets in."""

import re
from typing import Any

import pytest

from bongsu.model.proposal import AEAD, ENCRYPTION, GROUPS, INTEGRITY, Suite
from bongsu.model.vpn import Binding, Dpd, IpsecDaemon
from bongsu.plan.libreswan import common_group, refusals
from bongsu.plan.node import NodePlan
from bongsu.plan.selectors import children
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render import RenderError, render_node
from bongsu.render.bundle import make_bundle
from bongsu.render.libipsec.render import ports
from bongsu.render.libreswan.algorithms import esp, ike
from bongsu.render.libreswan.identity import identity
from bongsu.render.secret import marked, marked_references, marker
from bongsu.render.strongswan.sections import lines
from tests.golden.networks import NETWORKS, plans

SWANCTL, SECRETS = "/etc/swanctl/conf.d/bongsu.conf", "/etc/swanctl/conf.d/bongsu-secrets.conf"
CHARON = "/etc/strongswan.d/bongsu.conf"
PLUTO, PLUTO_SECRETS = "/etc/ipsec.d/bongsu.conf", "/etc/ipsec.d/bongsu.secrets"
ALL = [
    (network, node)
    for network in NETWORKS
    for node, plan in plans(network).items()
    if plan.vpns and plan.platform == "linux"
]


def changed(plan: NodePlan, **changes: Any) -> NodePlan:
    """The plan with its first tunnel alone, changed."""
    return plan.model_copy(update={"vpns": [plan.vpns[0].model_copy(update=changes)]})


def swanctl(**changes: Any) -> str:
    return render_node(changed(plans("vpn-ipv6")["site"], **changes))[SWANCTL]


def pluto(**changes: Any) -> str:
    return render_node(changed(plans("hybrid-vpn")["cpe"], **changes))[PLUTO]


@pytest.mark.parametrize(("network", "node"), ALL)
def test_secrets_are_markers_and_their_files_are_closed(network: str, node: str) -> None:
    plan = plans(network)[node]
    bundle = make_bundle(plan)
    holding = {path for path, text in bundle.files.items() if marked(text)}
    assert holding
    for path in holding:
        assert bundle.mode(path) & 0o007 == 0, path
    whole = "".join(bundle.files.values())
    found = set(re.findall(r"BONGSU-SECRET-[0-9a-f]{16}", whole))
    assert found <= {marker(reference) for reference in marked_references(plan)}
    # References are no secrets, but say where one lies: files need them as little.
    for reference in marked_references(plan):
        assert reference not in whole


@pytest.mark.parametrize(("network", "node"), ALL)
def test_a_node_has_its_own_daemons_files_and_those_of_user_space(network: str, node: str) -> None:
    plan = plans(network)[node]
    files = set(render_node(plan))
    strongswan = plan.ipsec is IpsecDaemon.STRONGSWAN
    assert {SWANCTL, SECRETS, CHARON} <= files or not strongswan
    assert {PLUTO, PLUTO_SECRETS} <= files or strongswan
    assert not files & ({PLUTO, PLUTO_SECRETS} if strongswan else {SWANCTL, SECRETS, CHARON})
    for tunnel in plan.vpns:
        for kind in ("strongswan", "swanctl"):
            assert f"/etc/bongsu/libipsec/{tunnel.name}.{kind}.conf" in files


def test_without_vpns_none_of_it() -> None:
    plan = plans("hybrid-vpn")["cpe"].model_copy(update={"vpns": [], "cloud_peers": []})
    files = render_node(plan)
    assert not [path for path in files if re.search("swan|ipsec", path)]


@pytest.mark.parametrize(("network", "node"), ALL)
def test_ports_of_user_space_are_apart_and_none_is_a_well_known_one(
    network: str, node: str
) -> None:
    found = [port for pair in ports(plans(network)[node]).values() for port in pair]
    assert len(found) == len(set(found))
    assert not {500, 4500} & set(found)


def test_what_the_far_end_is_told_of_lifetimes_is_what_the_file_says() -> None:
    text = swanctl(ike_lifetime_s=28800, esp_lifetime_s=3600)
    rekey, over = re.findall(r"^    (?:rekey|over)_time = (\d+)s$", text, re.M)
    assert int(rekey) + int(over) == 28800
    assert "life_time = 3600s" in text


@pytest.mark.parametrize(
    ("start", "strongswan", "libreswan"),
    [("initiate", "start", "start"), ("respond", None, "add"), ("on-demand", "trap", "ondemand")],
)
def test_start(start: str, strongswan: str | None, libreswan: str) -> None:
    text = swanctl(start=start)
    found = re.findall(r"(?:start|close)_action = (\S+)", text)
    assert found == ([] if strongswan is None else [strongswan] * 2)
    # Who answers does not try for ever; who calls does.
    assert ("keyingtries = 0" in text) == (start != "respond")
    assert f"    auto={libreswan}\n" in pluto(start=start)


@pytest.mark.parametrize(("action", "said"), [("restart", "restart"), ("hold", "trap")])
def test_dpd(action: str, said: str) -> None:
    dpd = Dpd.model_validate({"delay_s": 7, "timeout_s": 21, "action": action})
    text = swanctl(dpd=dpd, ike_version=1)
    assert "dpd_delay = 7s\n    dpd_timeout = 21s\n" in text
    assert f"dpd_action = {said}\n" in text
    # IKEv2 has its retransmissions in place of a time.
    assert "dpd_timeout" not in swanctl(dpd=dpd, ike_version=2)
    found = pluto(dpd=dpd)
    assert f"dpddelay=7\n    dpdtimeout=21\n    dpdaction={action}\n" in found
    assert "retransmit-timeout" not in found
    found = pluto(dpd=dpd, ike_version=2)
    assert f"dpddelay=7\n    retransmit-timeout=21s\n    dpdaction={action}\n" in found
    # It would be ignored, and say so at each start.
    assert "dpdtimeout" not in found


def test_no_dpd_says_nothing() -> None:
    for text in (swanctl(dpd=None), pluto(dpd=None), pluto(dpd=None, ike_version=2)):
        assert "dpd" not in text
        assert "retransmit" not in text
    charon = render_node(changed(plans("vpn-ipv6")["site"], dpd=None))[CHARON]
    assert "retransmit" not in charon


@pytest.mark.parametrize("timeout_s", [2, 15, 30, 3600])
def test_retransmissions_add_up_to_the_time_of_dpd(timeout_s: int) -> None:
    dpd = Dpd(delay_s=1, timeout_s=timeout_s)
    text = render_node(changed(plans("vpn-ipv6")["site"], dpd=dpd))[CHARON]
    values = {key: float(value) for key, value in re.findall(r"retransmit_(\w+) = ([\d.]+)", text)}
    # retransmission.opt of strongSwan: the n-th wait is timeout * base ^ n, n = 0 .. tries.
    waits = [
        values["timeout"] * values["base"] ** number for number in range(int(values["tries"]) + 1)
    ]
    assert sum(waits) == pytest.approx(timeout_s, rel=0.03)


def test_the_quickest_dpd_of_a_daemons_tunnels_decides() -> None:
    plan = plans("vpn-ipv6")["site"]
    quick = plan.vpns[0].model_copy(update={"dpd": Dpd(delay_s=1, timeout_s=5)})
    slow = plan.vpns[1].model_copy(update={"dpd": Dpd(delay_s=10, timeout_s=60)})
    one = render_node(plan.model_copy(update={"vpns": [quick]}))[CHARON]
    both = render_node(plan.model_copy(update={"vpns": [slow, quick]}))[CHARON]
    timeout = re.compile("retransmit_timeout.*")
    assert timeout.findall(one) == timeout.findall(both)


@pytest.mark.parametrize(
    ("binding", "said", "libreswan"),
    [
        (Binding.VTI, {"mark_in", "mark_out"}, "mark=7/0xffffffff\n    vti-interface=ipsec7\n"),
        (Binding.XFRM, {"if_id_in", "if_id_out"}, "ipsec-interface=7\n    overlapip=yes\n"),
        (Binding.POLICY, set(), None),
    ],
)
def test_binding(binding: Binding, said: set[str], libreswan: str | None) -> None:
    text = swanctl(binding=binding, mark=7)
    assert set(re.findall(r"(mark_\w+|if_id_\w+) = 7", text)) == said
    found = pluto(binding=binding, mark=7, name="ipsec7")
    for word in ("mark=", "ipsec-interface=", "vti-"):
        assert (word in found) == (libreswan is not None and word in libreswan)
    assert libreswan is None or libreswan in found


def test_libreswan_finds_the_far_end_past_its_own_interface() -> None:
    assert "leftnexthop=10.0.0.1\n" in pluto(binding=Binding.XFRM, mark=7, name="ipsec7")


def test_in_user_space_an_sa_has_no_mark_and_calls_at_once() -> None:
    plan = changed(plans("hybrid-vpn")["cpe"], start="on-demand", encapsulation=False)
    text = render_node(plan)["/etc/bongsu/libipsec/vti1.swanctl.conf"]
    assert not re.search("mark_|if_id", text)
    assert "start_action = start" in text
    assert "trap" not in text
    # It has no ESP but that in UDP.
    assert "encap = yes" in text
    assert "remote_port = 4500" in text
    answering = render_node(changed(plan, start="respond"))
    assert "remote_port" not in answering["/etc/bongsu/libipsec/vti1.swanctl.conf"]


def test_two_tunnels_of_the_same_names_do_not_replace_each_other() -> None:
    plan = plans("vpn-ecmp")["west"]
    assert render_node(plan)[SWANCTL].count("unique = never") == 2
    apart = [t.model_copy(update={"remote_id": t.name}) for t in plan.vpns]
    assert "unique" not in render_node(plan.model_copy(update={"vpns": apart}))[SWANCTL]
    assert "uniqueids=no" in render_node(plans("vpn-ecmp")["east"])[PLUTO]
    assert "uniqueids" not in pluto()


def test_ikev1_has_a_child_for_each_pair_of_networks() -> None:
    tunnel = plans("vpn-policy")["branch"].vpns[0]
    assert [child.name for child in children(tunnel)] == [
        "legacy", "legacy_2", "legacy_3", "legacy_4",
    ]  # fmt: skip
    two = tunnel.model_copy(update={"ike_version": 2})
    assert [len(child.local) for child in children(two)] == [2]
    assert len(children(two, pairs=True)) == 4


def test_networks_of_different_families_make_no_pair() -> None:
    plan = plans("vpn-ipv6")["pluto"]
    assert len(children(plan.vpns[0], pairs=True)) == 2
    v4 = [p for p in plan.vpns[0].local_selectors if p.version == 4]
    v6 = [p for p in plan.vpns[0].remote_selectors if p.version == 6]
    with pytest.raises(RenderError, match="no family has networks on both sides"):
        render_node(changed(plan, local_selectors=v4, remote_selectors=v6))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("gw.example.net", "@gw.example.net"),
        ("user@example.net", "user@example.net"),
        ("C=KR, CN=gw", '"C=KR, CN=gw"'),
    ],
)
def test_libreswan_looks_no_identity_up(value: str, said: str) -> None:
    assert identity(value) == said


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a;b", "a#b", "a\\b", "", " a", "a{b"])
@pytest.mark.parametrize("field", ["local_id", "remote_id"])
@pytest.mark.parametrize("node", ["site", "pluto"])
def test_a_hostile_identity_cannot_inject(node: str, field: str, value: str) -> None:
    with pytest.raises(RenderError):
        render_node(changed(plans("vpn-ipv6")[node], **{field: value}))


@pytest.mark.parametrize("value", ["/a b", "/a\nb", "a", '/a"', "/a;b"])
@pytest.mark.parametrize("field", ["certificate", "ca"])
def test_a_hostile_path_cannot_inject(field: str, value: str) -> None:
    plan = plans("vpn-ecmp")["west"]
    found = plan.vpns[0].certificate
    assert found is not None
    with pytest.raises(RenderError):
        render_node(changed(plan, certificate=found.model_copy(update={field: value})))


def test_a_value_that_came_past_the_filters_ends_the_rendering() -> None:
    with pytest.raises(AssertionError):
        lines({"id": 'a" }\nb'})
    assert lines({"a": {"b": 1, "c": None, "d": "x y"}}) == ["a {", "  b = 1", '  d = "x y"', "}"]


def every_suite(phase: str) -> list[Suite]:
    found = []
    for group in [*GROUPS, *([] if phase == "ike" else [None])]:
        for cipher in ENCRYPTION:
            found += [Suite(cipher, hash_, None, group) for hash_ in INTEGRITY]
        for cipher in AEAD:
            prfs = list(INTEGRITY) if phase == "ike" else [None]
            found += [Suite(cipher, None, prf, group) for prf in prfs]
    return found


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("phase", ["ike", "esp"])
def test_every_proposal_is_spelled_or_refused(phase: str, version: int) -> None:
    plan = plans("hybrid-vpn")["cpe"]
    suites = every_suite(phase)
    assert len(suites) > 500
    refused = 0
    for suite in suites:
        field = f"{phase}_proposals"
        update = {field: [str(suite)], "ike_version": version}
        if list(refusals(changed(plan, **update))):
            refused += 1
            continue
        said = ike([str(suite)]) if phase == "ike" else esp([str(suite)])
        assert re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)?(;(modp|dh)\d+)?", said)
    assert 0 < refused < len(suites)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ike_proposals": ["aes256-sha256-modp1024"]}, "without modp1024"),
        ({"ike_proposals": ["aes256gcm16-prfsha256-modp2048"]}, "aes256gcm16 is for IKEv2"),
        ({"esp_proposals": ["aes256-sha256-ecp256"]}, "modp groups only"),
        ({"esp_proposals": ["chacha20poly1305-modp2048"]}, "chacha20poly1305 is for IKEv2"),
        ({"ike_proposals": ["aes256-sha256-prfsha512-modp2048"]}, "prfsha512 is another"),
        ({"ike_proposals": ["null-sha256-modp2048"]}, "IKE is always encrypted"),
        ({"esp_lifetime_s": 86401}, "a day at the latest"),
        ({"binding": Binding.XFRM}, "call it ipsec5"),
    ],
)
def test_libreswan_refuses(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RenderError, match=words):
        pluto(**changes)


def test_libreswan_has_one_group_for_esp() -> None:
    given = ["aes256gcm16-ecp256", "aes256-sha256-modp2048", "aes256-sha256", "aes128-sha1-ecp256"]
    assert common_group(given) == ([given[0], given[3]], [given[1], given[2]])
    text = pluto(ike_version=2, esp_proposals=given)
    assert "phase2alg=aes_gcm256;dh19,aes_cbc128-sha1;dh19\n" in text
    for left_out in given[1:3]:
        assert f"#   {left_out}\n" in text
    assert "pfs" not in text
    assert "    pfs=no\n" in pluto(esp_proposals=["aes256-sha256"])


def test_keys_of_a_short_life_are_not_renewed_at_once() -> None:
    assert "rekeymargin=30s" in pluto(esp_lifetime_s=300)
    assert "rekeymargin" not in pluto()


def test_firewalld_knows_both_ways_of_esp() -> None:
    text = render_node(plans("hybrid-vpn")["cpe"])["/etc/firewalld/services/bongsu-ipsec.xml"]
    assert re.findall(r'(?:port|value)="(\w+)"', text) == ["500", "4500", "esp"]
    # XML's rule for comments; a name with two hyphens must not end one.
    comment = text[text.index("<!--") + 4 : text.index("-->")]
    assert "--" not in comment


def test_a_child_is_named_as_no_tunnel_can_be() -> None:
    tunnel: VpnTunnelPlan = plans("vpn-policy")["branch"].vpns[0]
    names = [child.name for child in children(tunnel)]
    assert names[0] == tunnel.name
    assert all("_" in name for name in names[1:])


def test_two_tunnels_of_one_name_are_refused() -> None:
    plan = plans("hybrid-vpn")["cpe"]
    with pytest.raises(RenderError, match="two IPsec tunnels called vti1"):
        render_node(plan.model_copy(update={"vpns": [plan.vpns[0], plan.vpns[0]]}))


def test_a_standby_by_policy_is_behind_the_active_one_in_the_kernel() -> None:
    """Two policies with the same selectors: the one that came last would be used otherwise."""
    policy = {"binding": Binding.POLICY}
    assert "priority" not in swanctl(**policy, rank=0)
    found = [
        int(re.findall(r"priority = (\d+)", swanctl(**policy, rank=rank))[0]) for rank in (1, 2)
    ]
    assert found[1] == found[0] + 1
    assert "priority" not in swanctl(binding=Binding.XFRM, rank=1), "there routes decide"
    plan = changed(plans("vpn-ipv6")["site"], **policy, rank=1)
    for path, text in render_node(plan).items():
        assert "/libipsec/" not in path or "priority" not in text, "user space has its own order"


def test_in_user_space_each_by_policy_has_a_routing_table_of_its_own() -> None:
    plan = plans("hybrid-vpn")["cpe"]
    policies = [each.model_copy(update={"binding": Binding.POLICY}) for each in plan.vpns]
    plan = plan.model_copy(update={"vpns": policies, "ipsec": IpsecDaemon.STRONGSWAN})
    texts = [text for path, text in render_node(plan).items() if path.endswith(".strongswan.conf")]
    tables = [re.findall(r"routing_table = (\d+)", text) for text in texts]
    assert len({one for (one,) in tables}) == len(plan.vpns) == 2
    routed = render_node(plans("hybrid-vpn")["cpe"])
    assert not any("routing_table" in text for text in routed.values())


def test_libreswan_routes_the_same_selectors_once() -> None:
    """As seen in the VM: the second of two tunnels by policy never comes up, nor takes over."""
    plan = plans("hybrid-vpn")["cpe"]
    assert not [each for each in refusals(plan) if "takes over" in each.reason], "by interface"
    policies = [each.model_copy(update={"binding": Binding.POLICY}) for each in plan.vpns]
    found = list(refusals(plan.model_copy(update={"vpns": policies})))
    (told,) = [each for each in found if "takes over" in each.reason]
    assert told.path == ("vpns", "hub", "tunnels", "vti2")
    assert "into vti1 alone" in told.reason
    apart = [policies[0], policies[1].model_copy(update={"remote_selectors": []})]
    assert not list(refusals(plan.model_copy(update={"vpns": apart})))
