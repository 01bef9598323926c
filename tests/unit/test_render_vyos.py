"""VyOS: every line is a command of VyOS, every name is made and used, document E option by option."""

import re
from functools import cache
from typing import Any

import pytest
import yaml

from bongsu.checks import run_checks
from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.vyos import refusals
from bongsu.plan.vyos_names import interface_path, is_loopback, vti_names
from bongsu.render import RenderError, render_node
from bongsu.render.vyos.words import placeholder, quoted
from tests.golden.networks import NETWORKS, plans
from tests.unit.vyos_syntax import FORMS, HINTS, commands, form_of, hinted, tree

NODES = ("cpe", "branch")


@cache
def configuration(node: str) -> str:
    return render_node(plans("vpn-vyos")[node])[f"/vyos/{node}.commands"]


def lines_of(node: str) -> list[str]:
    return [" ".join(words) for words in commands(configuration(node))]


@pytest.mark.parametrize("node", NODES)
def test_every_line_is_a_command_of_vyos(node: str) -> None:
    found = [*lines_of(node), *hinted(configuration(node))]
    assert len(found) > 30
    assert [line for line in found if form_of(line) is None] == []
    kinds = ("set ", "# ", "")
    assert all(line.startswith(kinds) for line in configuration(node).splitlines())


def test_every_form_is_rendered_somewhere() -> None:
    used = {form_of(line) for node in NODES for line in lines_of(node)}
    used |= {form_of(line) for node in NODES for line in hinted(configuration(node))}
    assert {*FORMS, *HINTS} - used == set()


def test_the_grammar_bites() -> None:
    for line in (
        "interfaces vti vti1 mtu big",
        "vpn ipsec ike-group X key-exchange ikev3",
        "vpn ipsec site-to-site peer X connection-type respond",
        "protocols bgp 65000 neighbor 10.0.0.1 remote-as 65001",
        "protocols bgp neighbor 10.0.0.1 address-family ipv4-unicast maximum-prefix",
    ):
        assert form_of(line) is None, line
    with pytest.raises(AssertionError, match="already"):
        tree("set interfaces vti vti1 mtu '1400'\nset interfaces vti vti1 mtu '1401'\n")


@pytest.mark.parametrize("node", NODES)
def test_no_node_gets_two_values(node: str) -> None:
    whole = tree(configuration(node))
    assert {"system", "interfaces", "vpn", "protocols", "policy"} <= set(whole)
    for rule in whole["policy"]["route-map"].values():
        assert set(rule) == {"rule"}


USES = (
    (r".* default-esp-group (\S+)", r"vpn ipsec esp-group (\S+) .*"),
    (r".* ike-group (\S+)$", r"vpn ipsec ike-group (\S+) .*"),
    (r".* vti bind (\S+)", r"interfaces vti (\S+) .*"),
    (r"protocols static .* interface (\S+).*", r"interfaces vti (\S+) .*"),
    (r".* route-map (?:import|export) (\S+)", r"policy route-map (\S+) .*"),
    (r".* match ip address prefix-list (\S+)", r"policy prefix-list (\S+) .*"),
    (r".* match ipv6 address prefix-list (\S+)", r"policy prefix-list6 (\S+) .*"),
    (r".* bfd profile (\S+)", r"protocols bfd profile (\S+) .*"),
)


@pytest.mark.parametrize("node", NODES)
def test_names_are_made_and_used(node: str) -> None:
    lines = lines_of(node)

    def all_of(pattern: str, definition: str) -> set[tuple[str, str]]:
        return {(definition, m[1]) for line in lines if (m := re.fullmatch(pattern, line))}

    wanted = {item for use, definition in USES for item in all_of(use, definition)}
    made = {item for _, definition in USES for item in all_of(definition, definition)}
    assert wanted == {item for item in made if not item[0].startswith("interfaces")} | {
        item for item in wanted if item[0].startswith("interfaces")
    }
    assert wanted <= made


DOCUMENT_E = {
    "left=10.0.236.153": "vpn ipsec site-to-site peer VTI1 local-address 10.0.236.153",
    "leftid=144.24.84.145": (
        "vpn ipsec site-to-site peer VTI1 authentication local-id 144.24.84.145"
    ),
    "right=193.122.99.212": "vpn ipsec site-to-site peer VTI1 remote-address 193.122.99.212",
    "right=146.56.44.93": "vpn ipsec site-to-site peer VTI2 remote-address 146.56.44.93",
    "authby=secret": "vpn ipsec site-to-site peer VTI1 authentication mode pre-shared-secret",
    "auto=start": "vpn ipsec site-to-site peer VTI1 connection-type initiate",
    "vti-interface=vti1": "vpn ipsec site-to-site peer VTI1 vti bind vti1",
    "vti-interface=vti2": "vpn ipsec site-to-site peer VTI2 vti bind vti2",
    "vti-routing=no": "vpn ipsec options disable-route-autoinstall",
    "leftvti=10.10.10.1/30": "interfaces vti vti1 address 10.10.10.1/30",
    "leftvti=10.10.10.5/30": "interfaces vti vti2 address 10.10.10.5/30",
    "ikev2=no": "vpn ipsec ike-group VTI1 key-exchange ikev1",
    "ike=aes_cbc256": "vpn ipsec ike-group VTI1 proposal 10 encryption aes256",
    "ike=sha2_384": "vpn ipsec ike-group VTI1 proposal 10 hash sha384",
    "ike=modp1536": "vpn ipsec ike-group VTI1 proposal 10 dh-group 5",
    "phase2alg=aes_gcm256": "vpn ipsec esp-group VTI1 proposal 10 encryption aes256gcm128",
    "phase2alg=modp1536": "vpn ipsec esp-group VTI1 pfs dh-group5",
    "encapsulation=yes": "vpn ipsec site-to-site peer VTI1 force-udp-encapsulation",
    "ikelifetime=28800s": "vpn ipsec ike-group VTI1 lifetime 28800",
    "salifetime=3600s": "vpn ipsec esp-group VTI1 lifetime 3600",
    "secrets, first address": "vpn ipsec authentication psk VTI1 id 144.24.84.145",
    "secrets, second address": "vpn ipsec authentication psk VTI1 id 193.122.99.212",
    "router bgp": "protocols bgp system-as 65000",
    "router-id": "protocols bgp parameters router-id 10.10.10.1",
    "remote-as": "protocols bgp neighbor 10.10.10.2 remote-as 31898",
    "ebgp-multihop": "protocols bgp neighbor 10.10.10.6 ebgp-multihop 255",
    "timers 6": "protocols bgp neighbor 10.10.10.2 timers keepalive 6",
    "timers 18": "protocols bgp neighbor 10.10.10.6 timers holdtime 18",
    "network": "protocols bgp address-family ipv4-unicast network 10.0.0.0/16",
    "next-hop-self": "protocols bgp neighbor 10.10.10.2 address-family ipv4-unicast nexthop-self",
    "soft-reconfiguration": (
        "protocols bgp neighbor 10.10.10.2 address-family ipv4-unicast soft-reconfiguration inbound"
    ),
    "prefix-list BGP-OUT": "policy prefix-list VTI1-TO-CLOUD rule 10 prefix 10.0.0.0/16",
}


@pytest.mark.parametrize("option", DOCUMENT_E)
def test_document_e_option_by_option(option: str) -> None:
    assert DOCUMENT_E[option] in lines_of("cpe")


def test_what_document_e_lets_through_is_bounded_here() -> None:
    """Its ALLOW-ALL takes anything from the cloud; ours the cloud's networks, and 100 at most."""
    found = lines_of("cpe")
    assert "policy prefix-list VTI1-FROM-CLOUD rule 20 prefix 172.16.1.0/24" in found
    assert any("neighbor 10.10.10.2" in line and "maximum-prefix 100" in line for line in found)


@pytest.mark.parametrize("node", NODES)
def test_a_file_that_is_loaded_as_it_is_sets_no_key(node: str) -> None:
    plan, text = plans("vpn-vyos")[node], configuration(node)
    secrets = {vpn.psk for vpn in plan.vpns if vpn.psk}
    secrets |= {peer.password for peer in plan.cloud_peers if peer.password}
    readme = render_node(plan)["/vyos/README.md"]
    assert secrets
    for secret in secrets:
        mentions = [line for line in text.splitlines() if f"<{secret}>" in line]
        assert mentions
        assert all(line.startswith("# set ") for line in mentions)
        assert f"- `<{secret}>`" in readme


def test_policies_have_their_networks_and_no_vti() -> None:
    peer = [line for line in lines_of("branch") if "site-to-site peer VTI0 " in line]
    tunnels = [line for line in peer if " tunnel " in line]
    assert len(tunnels) == 2 * 2 * 2
    assert not any(" vti " in line for line in peer)
    assert any("exclude" in line for line in hinted(configuration("branch")))


@pytest.mark.parametrize("trick", ["it's", "a\nset x", "a;b", "$(x)", "a`b`", ""])
def test_no_value_leaves_its_quotes(trick: str) -> None:
    with pytest.raises(RenderError):
        quoted(trick)


@pytest.mark.parametrize("trick", ["file:/a'b", "file:/a\nb", "file:/a<b", "file:/a>b"])
def test_no_reference_leaves_its_quotes(trick: str) -> None:
    with pytest.raises(RenderError):
        placeholder(trick)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("eth0", ("ethernet", "eth0")),
        ("eth1.100", ("ethernet", "eth1", "vif", "100")),
        ("bond0.7", ("bonding", "bond0", "vif", "7")),
        ("br0", ("bridge", "br0")),
        ("dum0", ("dummy", "dum0")),
        ("lo", ("loopback", "lo")),
        ("ens3", None),
        ("eth0.0", None),
        ("eth0.4095", None),
        ("dum0.1", None),
        ("gi0-0", None),
    ],
)
def test_interface_names(name: str, path: tuple[str, ...] | None) -> None:
    assert interface_path(name) == path
    assert is_loopback(name) == (path is not None and path[0] in ("loopback", "dummy")) or (
        path is None
    )


def test_a_tunnel_keeps_the_number_of_its_name() -> None:
    assert vti_names(["vti1", "vti2", "main"]) == {"vti1": "vti1", "vti2": "vti2", "main": "vti0"}


def document_e(**changes: Any) -> Network:
    """The cpe of vpn-vyos, its connection changed."""
    data = yaml.safe_load(NETWORKS["vpn-vyos"].read_text())
    data["nodes"].pop("branch")
    data["clouds"] = {"seoul": data["clouds"]["seoul"]}
    hub = data["vpns"]["hub"]
    data["vpns"] = {"hub": hub}
    hub["tunnels"]["vti1"].update(changes.pop("tunnel", {}))
    data["nodes"]["cpe"].update(changes.pop("node", {}))
    data["nodes"]["cpe"]["interfaces"].update(changes.pop("interfaces", {}))
    for key, value in changes.items():
        if value is None:
            hub.pop(key, None)
        else:
            hub[key] = value
    return Network.model_validate(data)


def neighbor() -> dict[str, Any]:
    return {"bgp": {"asn": 65000, "neighbors": {"x": {"asn": 65001, "address": "10.0.0.1"}}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": {"role": "home"}}, "as a router only"),
        ({"node": neighbor()}, "no BGP but that with a cloud"),
        ({"node": {"policies": [{"to": "10.9.0.0/16", "via": ["10.0.0.9"]}]}}, "no policies"),
        ({"interfaces": {"ens9": {"role": "lan", "addresses": ["10.9.0.1/24"]}}}, "no interface ens9"),
        ({"interfaces": {"lo": {"role": "lan", "addresses": ["10.9.0.1/24"]}}}, "cannot have the role"),
        ({"interfaces": {"eth1": {"role": "lan", "addresses": ["10.9.0.1/24"], "vrf": "red"}}}, "VRFs"),
        ({"tunnel": {"headend": "146.56.44.93"}}, "the same two ends"),
        ({"selectors": "networks"}, "selectors for everything"),
        ({"binding": "policy", "selectors": "any", "bgp": None}, "take the router off the net"),
        ({"start": "on-demand"}, "calling on demand"),
        ({"probe": {}}, "bongsu's agent that sends echoes"),
        ({"dpd": {"delay_s": 1}}, "every 2 s at most, not every 1"),
        ({"ike": {"proposals": ["des-sha256-modp2048"]}}, "no des-sha256-modp2048"),
        ({"esp": {"proposals": ["des-sha256-modp2048"]}}, "no des-sha256-modp2048"),
        ({"esp": {"proposals": ["aes256-sha256-modp2048", "aes128-sha256"]}}, "one group of perfect"),
        ({"esp": {"lifetime_s": 90000}}, "lifetimes to 86400 s, not 90000"),
        ({"ike": {"lifetime_s": 90000}}, "lifetimes to 86400 s, not 90000"),
        ({"bgp": {"bfd": {"interval_ms": 5}}}, "BFD intervals from 10 ms, not 5"),
        ({"bgp": {"announce": ["2001:db8::/32"]}}, "with IPv4 prefixes only"),
        (
            {"certificate": {"certificate": "/etc/c.pem", "key": "env:K", "ca": "/etc/ca.pem"}},
            "certificates are not rendered",
        ),
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
    found = [item for item in run_checks(network, compiled) if item.code == "VYO001"]
    assert {item.message for item in found} == set(reasons)


def test_document_e_itself_is_not_refused() -> None:
    assert list(refusals(compile_network(document_e())["cpe"])) == []


def test_a_gre_tunnel_and_a_route_into_one_are_refused() -> None:
    data = yaml.safe_load(NETWORKS["ios-keepalive"].read_text())
    for node in data["nodes"].values():
        node["platform"] = "vyos"
    network = Network.model_validate(data)
    reasons = [item.reason for item in refusals(compile_network(network)["a"])]
    assert "no GRE is rendered for VyOS" in reasons
    assert any("next router" in item.remedy for item in refusals(compile_network(network)["a"]))
