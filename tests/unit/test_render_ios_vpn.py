"""A Cisco router as a VPN's gateway: document E's connection, and what IOS cannot be made to do."""

from typing import Any

import pytest
import yaml

from bongsu.checks import run_checks
from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.ios import refusals
from bongsu.plan.ios_vpn import dpd_retry, identity_kind
from bongsu.render import RenderError, render_node
from tests.golden.networks import NETWORKS, plans
from tests.unit.ios_syntax import Command, commands

DOCUMENT_E = """
crypto isakmp policy 10
 encryption aes 256
 hash sha384
 authentication pre-share
 group 5
 lifetime 28800
crypto ipsec profile TUNNEL1
 set pfs group5
 set security-association lifetime seconds 3600
interface Tunnel1
 ip address 10.10.10.1 255.255.255.252
 tunnel destination 193.122.99.212
interface Tunnel2
 ip address 10.10.10.5 255.255.255.252
 tunnel destination 146.56.44.93
ip prefix-list TUNNEL1-TO-CLOUD seq 5 permit 10.0.0.0/16
router bgp 65000
 bgp router-id 10.10.10.1
 neighbor 10.10.10.2 remote-as 31898
 neighbor 10.10.10.2 ebgp-multihop 255
 neighbor 10.10.10.2 timers 6 18
 neighbor 10.10.10.6 remote-as 31898
 neighbor 10.10.10.6 ebgp-multihop 255
 neighbor 10.10.10.6 timers 6 18
 address-family ipv4
  network 10.0.0.0 mask 255.255.0.0
  neighbor 10.10.10.2 next-hop-self
  neighbor 10.10.10.2 soft-reconfiguration inbound
  neighbor 10.10.10.6 next-hop-self
  neighbor 10.10.10.6 soft-reconfiguration inbound
"""
"""The document's files, option by option, in the words of IOS."""


def lines_of(node: str) -> list[Command]:
    return commands(render_node(plans("vpn-ios")[node])[f"/ios/{node}.cfg"])


def test_document_e_is_there_option_by_option() -> None:
    theirs = set(commands(DOCUMENT_E.strip("\n")))
    assert len(theirs) == 30
    assert theirs - set(lines_of("cpe")) == set()


def test_both_algorithms_of_document_e() -> None:
    found = [c[-1] for c in lines_of("cpe")]
    assert "crypto ipsec transform-set VPN-AES256GCM16-AEAD esp-gcm 256" in found
    assert found.count("set transform-set VPN-AES256GCM16-AEAD") == 2


def test_behind_a_nat_ikev2_calls_itself_by_the_public_address() -> None:
    assert ("crypto ikev2 profile TUNNEL11", "identity local address 198.51.100.20") in lines_of(
        "branch"
    )
    local = ("crypto ikev2 profile TUNNEL11", "match address local 192.168.1.20")
    assert local in lines_of("branch")


def test_what_is_announced_stands_in_the_routing_table() -> None:
    """10.0.0.0/16 is a link's network and 10.40.1.0/24 a LAN's; nothing leads to 10.40.0.0/16."""
    nowhere = [c[-1] for node in ("cpe", "branch") for c in lines_of(node) if "Null0" in c[-1]]
    assert nowhere == ["ip route 10.40.0.0 255.255.0.0 Null0 254"]


def test_the_second_tunnel_is_the_second_choice_both_ways() -> None:
    found = lines_of("cpe")
    assert ("route-map TUNNEL1-FROM-CLOUD permit 10", "set local-preference 200") in found
    assert ("route-map TUNNEL2-FROM-CLOUD permit 10", "set local-preference 190") in found
    prepended = [c[0] for c in found if "as-path prepend" in c[-1]]
    assert prepended == ["route-map TUNNEL2-TO-CLOUD permit 10"]
    assert not any("maximum-paths" in c[-1] for c in found)
    equal = [c[-1] for c in lines_of("branch") if "maximum-paths" in c[-1]]
    assert equal == ["maximum-paths 2"]


def test_out_of_a_tunnel_comes_only_who_is_behind_it() -> None:
    permitted = [c[-1] for c in lines_of("cpe") if c[0].endswith("TUNNEL1-IN")][1:]
    assert permitted
    assert all(line.split()[2:4] != ["any", "any"] and " any" not in line for line in permitted)


def test_what_a_session_may_bring_is_bounded() -> None:
    found = [c[-1] for c in lines_of("branch")]
    assert "neighbor 10.255.1.2 maximum-prefix 100" in found
    assert not any(line.startswith("ip prefix-list TUNNEL11-FROM") for line in found), "accept: any"


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        ("192.0.2.1", "address"),
        ("2001:db8::1", "address"),
        ("gw.example.net", "fqdn"),
        ("me@gw.example.net", "email"),
        ("C=KR, O=bongsu, CN=gw", None),
        ("oneword", None),
    ],
)
def test_identities(identity: str, kind: str | None) -> None:
    assert identity_kind(identity) == kind


def document_e(**changes: Any) -> Network:
    """The cpe of vpn-ios, its connection changed; `tunnel` changes the first tunnel."""
    data = yaml.safe_load(NETWORKS["vpn-ios"].read_text())
    data["nodes"].pop("branch")
    data["clouds"] = {"seoul": data["clouds"]["seoul"] | changes.pop("cloud", {})}
    hub = data["vpns"]["hub"]
    data["vpns"] = {"hub": hub}
    hub["tunnels"]["vti1"].update(changes.pop("tunnel", {}))
    data["nodes"]["cpe"]["interfaces"]["gi0-0"].update(changes.pop("uplink", {}))
    for key, value in changes.items():
        if value is None:
            hub.pop(key, None)
        else:
            hub[key] = value
    return Network.model_validate(data)


V2 = {"version": 2, "proposals": ["aes256-sha384-ecp384"]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tunnel": {"id": "144.24.84.145"}}, "calls itself by the address it has"),
        ({"tunnel": {"id": "C=KR, O=bongsu"}}, "told identities as an address"),
        ({"tunnel": {"peer_id": "oneword"}}, "told identities as an address"),
        ({"tunnel": {"headend": "146.56.44.93"}}, "the same two ends"),
        ({"binding": "policy"}, "with tunnel interfaces only"),
        ({"selectors": "networks"}, "selectors for everything"),
        ({"start": "on-demand"}, "calls at once, or only answers"),
        ({"probe": {}}, "bongsu's agent that sends echoes"),
        ({"dpd": {"delay_s": 5}}, "every 10 to 3600 s, not every 5"),
        ({"ike": {"version": 1, "proposals": ["aes256-sha256-modp6144"]}}, "no aes256-sha256-modp6144"),
        ({"ike": {"version": 1, "proposals": ["aes256gcm16-prfsha256-modp2048"]}}, "for IKEv1"),
        ({"ike": V2 | {"proposals": ["aes128ctr-sha256-modp2048"]}}, "no aes128ctr-sha256-modp2048"),
        ({"esp": {"proposals": ["chacha20poly1305-modp2048"]}}, "for ESP"),
        ({"esp": {"proposals": ["aes256-sha256-modp2048", "aes128-sha256"]}}, "one group of perfect"),
        ({"bgp": {"bfd": {}}}, "DMVPN only"),
        ({"bgp": {"announce": ["2001:db8::/32"]}}, "with IPv4 only"),
        ({"cloud": {"networks": ["2001:db8::/32"]}}, "IPv4 inside only"),
        ({"uplink": {"vrf": "red"}}, "in a VRF is not rendered"),
        ({"uplink": {"public": None}}, "only where it finds a NAT"),
        (
            {
                "certificate": {"certificate": "/etc/c.pem", "key": "env:K", "ca": "/etc/ca.pem"},
            },
            "certificates are not rendered",
        ),
        ({"tunnel": {"inside": "fd00::1/126", "peer": "fd00::2"}}, "carries IPv4 only"),
        ({"tunnel": {"inside": None, "peer": None}, "bgp": None, "static": True}, "needs an inside"),
    ],
)  # fmt: skip
def test_refused_alike_by_check_and_renderer(changes: dict[str, Any], says: str) -> None:
    network = document_e(**changes)
    compiled = compile_network(network)
    reasons = [item.reason for item in refusals(compiled["cpe"])]
    assert any(says in reason for reason in reasons), reasons
    with pytest.raises(RenderError):
        render_node(compiled["cpe"])
    found = [item for item in run_checks(network, compiled) if item.code == "IOS001"]
    assert {item.message for item in found} == set(reasons)


def test_ikev2_needs_no_other_identity() -> None:
    network = document_e(ike=V2, tunnel={"id": "144.24.84.145"})
    plan = compile_network(network)["cpe"]
    assert list(refusals(plan)) == []
    text = render_node(plan)["/ios/cpe.cfg"]
    assert " nat force-encap" in text.splitlines()


def test_the_checks_do_not_ask_for_what_ios_refuses() -> None:
    """IOS001 wants the router's own address as identity with IKEv1; VPN002 lets it have that."""
    network = document_e()
    codes = {item.code for item in run_checks(network, compile_network(network))}
    assert not codes & {"IOS001", "VPN002"}
    by_v2 = document_e(ike=V2)
    assert "VPN002" in {item.code for item in run_checks(by_v2, compile_network(by_v2))}


def test_five_tries_end_at_the_time_out() -> None:
    plan = compile_network(document_e(dpd={"delay_s": 10, "timeout_s": 60}))["cpe"]
    assert dpd_retry(plan.vpns[0]) == 10
    long = compile_network(document_e(dpd={"delay_s": 10, "timeout_s": 3600}))["cpe"]
    assert dpd_retry(long.vpns[0]) == 60
    short = compile_network(document_e(dpd={"delay_s": 10, "timeout_s": 11}))["cpe"]
    assert dpd_retry(short.vpns[0]) == 2
