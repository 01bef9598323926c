"""IOS: every line is a command of IOS, every name stands before it is used, document C line by line."""

import re
from functools import cache
from ipaddress import ip_interface

import pytest

from bongsu.model.access import AccessRule
from bongsu.model.ipsec import Ipsec, Protection
from bongsu.model.node import Platform, Role
from bongsu.model.tunnel import Bfd, Dialect, Keepalive
from bongsu.plan.ios import refusals
from bongsu.plan.ios_names import interface_name, is_loopback, tunnel_numbers, vlan
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render import RenderError, render_node
from tests.golden.networks import NETWORKS, plans
from tests.unit.ios_syntax import GLOBAL, Command, commands, form_of

IOS = [
    (network, node)
    for network in NETWORKS
    for node, plan in plans(network).items()
    if plan.platform is Platform.IOS
]


@cache
def configuration(network: str, node: str) -> str:
    return render_node(plans(network)[node])[f"/ios/{node}.cfg"]


def lines_of(network: str, node: str) -> list[Command]:
    return commands(configuration(network, node))


def changed(plan: NodePlan, **values: object) -> NodePlan:
    """The plan with its first tunnel changed."""
    first = plan.tunnels[0].model_copy(update=values)
    return plan.model_copy(update={"tunnels": [first, *plan.tunnels[1:]]})


def a(**values: object) -> NodePlan:
    return changed(plans("ios-keepalive")["a"], **values)


def refused(plan: NodePlan) -> list[str]:
    return [item.reason for item in refusals(plan)]


# Syntax


@pytest.mark.parametrize(("network", "node"), IOS)
def test_every_line_is_a_command_of_ios(network: str, node: str) -> None:
    found = lines_of(network, node)
    assert len(found) > 10
    assert [command for command in found if form_of(command) is None] == []


def test_every_form_is_rendered_somewhere() -> None:
    """A form that nothing has is a form that nobody has tried."""
    used = {form_of(command) for network, node in IOS for command in lines_of(network, node)}
    known = set(GLOBAL.forms) | set(GLOBAL.modes)
    known |= {f"{head} | {form}" for head, mode in GLOBAL.modes.items() for form in mode.forms}
    known |= {
        f"{head} | {inner} | {form}"
        for head, mode in GLOBAL.modes.items()
        for inner, within in mode.modes.items()
        for form in within.forms
    }

    def by_interface(forms: set[str]) -> set[str]:
        """Ports, loopbacks and tunnels have forms in common: one of them is enough."""
        return {
            f"interface | {form.rsplit(' | ')[-1]}" if form.startswith("interface") else form
            for form in forms
        }

    assert by_interface(known) - by_interface({form for form in used if form}) == set()


def test_the_grammar_bites() -> None:
    for words in (
        ("interface Tunnel0", "keepalive 5s 4"),
        ("interface Tunnel0", "keepalive 0 4"),
        ("interface Tunnel0", "no shutdown everything"),
        ("ip route 10.0.0.0/8 Tunnel0",),
        ("keepalive 5 4",),
        ("interface Loopback0", "keepalive 5 4"),
    ):
        assert form_of(words) is None, words


USES = (
    (r"ip access-group (\S+) in", r"ip access-list extended (\S+)"),
    (r"ipv6 traffic-filter (\S+) in", r"ipv6 access-list (\S+)"),
    (r"match address (\S+)", r"ip access-list extended (\S+)"),
    (r"match ip address (?!prefix-list)(\S+)", r"ip access-list extended (\S+)"),
    (r"match ip address prefix-list (\S+)", r"ip prefix-list (\S+) .*"),
    (r"neighbor \S+ route-map (\S+) (?:in|out)", r"route-map (\S+) permit \d+"),
    (r"neighbor \S+ update-source (\S+)", r"interface (\S+)"),
    (r"set isakmp-profile (\S+)", r"crypto isakmp profile (\S+)"),
    (r"keyring (?!local)(\S+)", r"crypto keyring (\S+)"),
    (r"match ipv6 address (\S+)", r"ipv6 access-list (\S+)"),
    (r"(?:ip|ipv6) policy route-map (\S+)", r"route-map (\S+) permit \d+"),
    (r"(?:vrf forwarding|tunnel vrf|match fvrf) (?!any)(\S+)", r"vrf definition (\S+)"),
    (r"(?:ip|ipv6) route vrf (\S+) .*", r"vrf definition (\S+)"),
    (r"crypto map (\S+)", r"crypto map (\S+) \d+ ipsec-isakmp"),
    (r"tunnel protection ipsec profile (\S+)(?: shared)?", r"crypto ipsec profile (\S+)"),
    (r"set transform-set \S+ (\S+)", r"crypto ipsec transform-set (\S+) .*"),
    (r"set transform-set (\S+)(?: \S+)*", r"crypto ipsec transform-set (\S+) .*"),
    (r"set ikev2-profile (\S+)", r"crypto ikev2 profile (\S+)"),
    (r"keyring local (\S+)", r"crypto ikev2 keyring (\S+)"),
    (r"proposal (\S+)", r"crypto ikev2 proposal (\S+)"),
    (r"tunnel source ([A-Z]\S+)", r"interface (\S+)"),
    (r"crypto map \S+ local-address (\S+)", r"interface (\S+)"),
    (r"ip route .* ((?:Tunnel|Gig|Ten)\S+).*", r"interface (\S+)"),
)


@pytest.mark.parametrize(("network", "node"), IOS)
def test_names_stand_before_they_are_used_and_are_used(network: str, node: str) -> None:
    last = [command[-1] for command in lines_of(network, node)]
    wanted: set[tuple[str, str]] = set()
    made: set[tuple[str, str]] = set()
    for words in last:
        for use, definition in USES:
            if found := re.fullmatch(use, words):
                assert (definition, found[1]) in made, f"{words}: of what is not there yet"
                wanted.add((definition, found[1]))
        made |= {
            (definition, found[1])
            for _, definition in USES
            if (found := re.fullmatch(definition, words))
        }
    assert {item for item in made - wanted if not item[0].startswith("interface")} == set()


# Document C


LISTING = {
    "a": """
interface loopback 0
 ip address 192.168.1.1 255.255.255.255
interface tunnel 0
 ip address 10.10.10.1 255.255.255.252
 tunnel source loopback0
 tunnel destination 192.168.1.2
 keepalive 5 4
""",
    "b": """
interface loopback 0
 ip address 192.168.1.2 255.255.255.255
interface tunnel 0
 ip address 10.10.10.2 255.255.255.252
 tunnel source loopback0
 tunnel destination 192.168.1.1
 keepalive 5 4
""",
}
"""The two ends as the document configures them."""

BESIDES = {
    "description": "says whose tunnel it is",
    "ip mtu": "IOS would fragment what does not fit; the far end has the same MTU",
    "ip tcp adjust-mss": "TCP never meets that MTU",
    "ip access-group": "out of a tunnel comes only who belongs behind it, and the far end's keepalives",
}
"""What our tunnel has and the document's has not, and why."""


def spelled(words: str) -> str:
    """The document writes names in small letters and with a blank, as IOS takes and never shows them."""
    return re.sub(
        r"\b(loopback|tunnel) ?(\d+)\b", lambda found: found[1].capitalize() + found[2], words
    )


@pytest.mark.parametrize("network", ["ios-keepalive", "ios-crypto-map"])
@pytest.mark.parametrize("node", LISTING)
def test_every_option_of_document_c_is_there(network: str, node: str) -> None:
    theirs = {tuple(map(spelled, command)) for command in commands(LISTING[node].strip("\n"))}
    ours = set(lines_of(network, node))
    assert len(theirs) == 7
    assert theirs - ours == set()
    # No option twice with two values: IOS would take the last.
    for command in theirs:
        key = (command[0], " ".join(command[-1].split()[:2]))
        same = [one for one in ours if (one[0], " ".join(one[-1].split()[:2])) == key]
        assert same == [command]


@pytest.mark.parametrize("node", LISTING)
def test_what_is_there_besides_is_meant(node: str) -> None:
    theirs = {tuple(map(spelled, command)) for command in commands(LISTING[node].strip("\n"))}
    besides = [c for c in lines_of("ios-keepalive", node) if c[0] == "interface Tunnel0"]
    extra = [command[-1] for command in besides if command not in theirs]
    assert sorted(extra) == sorted(
        words for words in extra if any(words.startswith(key) for key in BESIDES)
    )
    assert all(any(words.startswith(key) for words in extra) for key in BESIDES)


def test_the_far_ends_keepalive_is_let_in_as_document_c_has_it() -> None:
    """`permit gre host <tunnel source> host <tunnel destination>`, of the end that has the list."""
    listed = ("ip access-list extended TUNNEL0-IN", "permit gre host 192.168.1.1 host 192.168.1.2")
    assert listed in lines_of("ios-keepalive", "a")
    inside = a(peer_keepalive=Keepalive(dialect=Dialect.VELOCLOUD))
    assert (listed[0], "permit gre host 10.10.10.1 host 10.10.10.2") in commands(
        render_node(inside)["/ios/a.cfg"]
    )
    silent = render_node(a(peer_keepalive=None))["/ios/a.cfg"]
    assert not any(command[-1].startswith("permit gre") for command in commands(silent))


def test_a_list_that_is_stated_gets_no_line_of_ours() -> None:
    rule = AccessRule.model_validate({"permit": "icmp"})
    text = render_node(a(inbound=[rule]))["/ios/a.cfg"]
    assert [c[-1] for c in commands(text) if c[0].endswith("TUNNEL0-IN")][1:] == [
        "permit icmp any any"
    ]
    nothing = render_node(a(inbound=[]))["/ios/a.cfg"]
    assert [c[-1] for c in commands(nothing) if c[0].endswith("TUNNEL0-IN")][1:] == [
        "deny ip any any"
    ]


# Secrets


@pytest.mark.parametrize(("network", "node"), IOS)
def test_a_file_that_is_pasted_as_it_is_sets_no_key(network: str, node: str) -> None:
    text = configuration(network, node)
    plan = plans(network)[node]
    secrets = {t.ipsec.psk for t in plan.tunnels if t.ipsec}
    secrets |= {vpn.psk for vpn in plan.vpns if vpn.psk}
    secrets |= {peer.password for peer in plan.cloud_peers if peer.password}
    readme = render_node(plans(network)[node])["/ios/README.md"]
    for secret in secrets:
        mentions = [line for line in text.splitlines() if f"<{secret}>" in line]
        assert mentions
        assert all(line.lstrip().startswith("! ") for line in mentions)
        assert f"- `<{secret}>`" in readme
    assert ("<" in text) == bool(secrets)


@pytest.mark.parametrize(
    "trick", ["file:/key\nno ip route", "file:/k\x1b", "file:/a>b", "file:/a<"]
)
def test_a_reference_cannot_leave_its_place(trick: str) -> None:
    ipsec = Ipsec(psk="env:KEY").model_copy(update={"psk": trick})
    with pytest.raises(RenderError):
        render_node(a(ipsec=ipsec))


# What IOS decides in its own way


def test_a_policys_hops_are_one_list_in_its_order() -> None:
    """`set interface` would be judged after every `set ip next-hop`, wherever it stands."""
    hops = [c for c in lines_of("ios-every-branch", "spoke") if c[-1].startswith("set ")]
    assert ("route-map POLICY-0-1-2 permit 10", "set ip next-hop 10.99.0.1 192.0.3.9") in hops
    assert not any("set interface" in command[-1] for command in hops)


def test_an_interface_is_a_source_for_its_first_address_only() -> None:
    found = dict(
        command
        for command in lines_of("ios-every-branch", "hub")
        if command[-1].startswith("tunnel source")
    )
    assert found["interface Tunnel0"] == "tunnel source 203.0.113.3"
    assert found["interface Tunnel4"] == "tunnel source GigabitEthernet0/0/0"
    assert found["interface Tunnel12"] == "tunnel source Loopback7"


def test_access_lists_have_wildcards_and_routes_have_masks() -> None:
    found = lines_of("ios-every-branch", "hub")
    assert ("ip route 10.40.0.0 255.255.0.0 Tunnel12 10.94.0.2",) in found
    listed = (
        "ip access-list extended TUNNEL12-IN",
        "permit ip 10.40.0.0 0.0.255.255 host 10.94.0.1",
    )
    assert listed in found


def test_a_vrf_comes_before_the_addresses_that_it_would_take_away() -> None:
    for network, node in IOS:
        plan = plans(network)[node]
        seen: set[str] = set()
        inside: list[str] = []
        for command in lines_of(network, node):
            if command[-1].startswith("vrf forwarding"):
                assert command[0] not in seen
                inside.append(command[-1].split()[-1])
            if " address " in f" {command[-1]} ":
                seen.add(command[0])
        assert inside == [item.vrf for item in (*plan.interfaces, *plan.tunnels) if item.vrf]


def test_two_tunnels_between_the_same_ends_share_one_profile() -> None:
    found = [
        command[-1]
        for command in lines_of("ios-every-branch", "hub")
        if command[0] in ("interface Tunnel4", "interface Tunnel5") and "protection" in command[-1]
    ]
    assert found == ["tunnel protection ipsec profile TUNNEL4 shared"] * 2


def test_a_map_is_on_every_port_that_the_tunnel_may_leave_by() -> None:
    ports = [c[0] for c in lines_of("ios-crypto-map", "a") if c[-1] == "crypto map TUNNEL0-MAP"]
    assert ports == ["interface GigabitEthernet0/0", "interface GigabitEthernet0/1"]
    assert ("crypto map TUNNEL0-MAP local-address Loopback0",) in lines_of("ios-crypto-map", "a")


def test_map_and_protection_do_not_meet_in_one_tunnel() -> None:
    for network, node in IOS:
        for tunnel in plans(network)[node].tunnels:
            number = tunnel_numbers(t.name for t in plans(network)[node].tunnels)[tunnel.name]
            text = configuration(network, node)
            protected = f"interface Tunnel{number}\n" in text and any(
                c[0] == f"interface Tunnel{number}" and c[-1].startswith("tunnel protection")
                for c in lines_of(network, node)
            )
            mapped = f"TUNNEL{number}-CRYPTO\n" in text
            assert protected == bool(tunnel.ipsec and tunnel.protection is Protection.TUNNEL)
            assert mapped == bool(tunnel.ipsec and tunnel.protection is Protection.MAP)


@pytest.mark.parametrize(("rpf", "way"), [("strict", "rx"), ("loose", "any"), (None, None)])
def test_unicast_rpf(rpf: str | None, way: str | None) -> None:
    found = [c[-1] for c in commands(render_node(a(rpf=rpf))["/ios/a.cfg"]) if "verify" in c[-1]]
    assert found == ([f"ip verify unicast source reachable-via {way}"] if way else [])


def test_the_mss_is_never_more_than_ios_takes() -> None:
    text = render_node(a(mtu=8900))["/ios/a.cfg"]
    assert ("interface Tunnel0", "ip mtu 8900") in commands(text)
    assert ("interface Tunnel0", "ip tcp adjust-mss 1460") in commands(text)


# Names


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("gi0-0", "GigabitEthernet0/0"),
        ("GI0-0-1", "GigabitEthernet0/0/1"),
        ("te1-0-1.4094", "TenGigabitEthernet1/0/1.4094"),
        ("gi1", "GigabitEthernet1"),
        ("eth0", "Ethernet0"),
        ("lo0", "Loopback0"),
        ("loopback12", "Loopback12"),
        ("po7.10", "Port-channel7.10"),
        ("vlan100", "Vlan100"),
        ("se0-1-0", "Serial0/1/0"),
        ("lo", None),
        ("ens3", None),
        ("gi", None),
        ("gi0-0.0", None),
        ("gi0-0.4095", None),
        ("lo0-1", None),
        ("lo0.1", None),
        ("se0-0.5", None),
        ("gi0-0-0-0-0", None),
        ("gi0_0", None),
    ],
)
def test_interface_names(name: str, port: str | None) -> None:
    assert interface_name(name) == port
    assert is_loopback(name) == (port or "").startswith("Loopback")


def test_vlans() -> None:
    assert [vlan(name) for name in ("gi0-0.10", "gi0-0", "ens3")] == [10, None, None]


def test_a_name_that_ends_in_a_number_keeps_it() -> None:
    assert tunnel_numbers(["main", "tunnel0", "gre-7", "b7", "spare", "x99999999999"]) == {
        "main": 1,
        "tunnel0": 0,
        "gre-7": 7,
        "b7": 2,
        "spare": 3,
        "x99999999999": 4,
    }
    assert tunnel_numbers(["new", "main", "gre-7"])["gre-7"] == 7


# What it cannot do


SIX = [ip_interface("2001:db8::1/64")]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"keepalive": Keepalive(milliseconds=100)}, "in seconds, not 100 ms"),
        ({"keepalive": Keepalive(nonce=True)}, "without a nonce"),
        ({"keepalive": Keepalive(up_after=3)}, "with the first reply, not after 3"),
        ({"keepalive": Keepalive(dialect=Dialect.HUAWEI)}, "not as huawei does"),
        ({"bgp": True}, "no BGP"),
        ({"bfd": Bfd()}, "DMVPN only"),
        ({"addresses": SIX, "mtu": 1200}, "IPv6 needs an MTU of 1280"),
        ({"addresses": SIX, "multipoint": True}, "multipoint GRE is rendered for IPv4 only"),
    ],
)
def test_refused(values: dict[str, object], says: str) -> None:
    plan = a(**values)
    (reason,) = [reason for reason in refused(plan) if says in reason]
    with pytest.raises(RenderError, match=re.escape(reason)):
        render_node(plan)
    assert refused(a()) == []


def test_as_reflector_ios_minds_nothing_of_the_sender() -> None:
    fancy = Keepalive(milliseconds=100, nonce=True, up_after=3, dialect=Dialect.MIKROTIK)
    assert refused(a(peer_keepalive=fancy)) == []
    assert "carry a nonce" in render_node(a(peer_keepalive=fancy))["/ios/README.md"]


def test_no_keepalive_and_no_map_over_ipv6() -> None:
    hub = plans("ios-every-branch")["hub"]
    six = hub.tunnel("six-8")
    others = [tunnel for tunnel in hub.tunnels if tunnel.name != "six-8"]

    def with_six(**values: object) -> list[str]:
        tunnels = [*others, six.model_copy(update=values)]
        return refused(hub.model_copy(update={"tunnels": tunnels}))

    assert with_six() == []
    assert "over IPv6" in with_six(keepalive=Keepalive())[0]
    assert "for IPv4 only" in with_six(protection=Protection.MAP)[0]


def second(**values: object) -> NodePlan:
    """Document C's router with an encrypted tunnel and one more like it, changed."""
    plan = plans("ios-crypto-map")["a"]
    other = plan.tunnels[0].model_copy(update={"name": "tunnel1", "key": 1, **values})
    return plan.model_copy(update={"tunnels": [*plan.tunnels, other]})


KEYED = {"psk": "env:OTHER", "ike": 1, "group": 14}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, None),
        ({"ipsec": None}, "the same two ends"),
        ({"protection": Protection.TUNNEL}, "the same two ends"),
        ({"ipsec": Ipsec.model_validate(KEYED)}, "have two for 192.168.1.2"),
        ({"local": "172.16.0.1"}, "has one crypto map"),
        ({"local": "172.16.0.99", "underlay": "gi0-2", "other_underlays": []}, "first address"),
    ],
)
def test_two_encrypted_tunnels(values: dict[str, object], says: str | None) -> None:
    plan = second(**values)
    # Validated again, so that addresses given as text are addresses.
    whole = NodePlan.model_validate_json(plan.model_dump_json(by_alias=True))
    found = refused(whole)
    assert bool(found) == (says is not None)
    assert says is None or any(says in reason for reason in found)


def test_multipoint_tunnels_from_one_source_need_keys() -> None:
    plan = plans("ios-every-branch")["spoke"]
    many = plan.tunnel("many-12")

    def both(first: int | None, other: int | None) -> list[str]:
        tunnels: list[TunnelPlan] = [
            many.model_copy(update={"key": first}),
            many.model_copy(update={"name": "many-13", "key": other}),
        ]
        kept = [tunnel for tunnel in plan.tunnels if tunnel.name != "many-12"]
        return refused(plan.model_copy(update={"tunnels": kept + tunnels}))

    assert len(both(None, None)) == 2
    assert len(both(1, None)) == 1
    assert both(1, 2) == []


def test_of_the_node() -> None:
    plan = plans("ios-keepalive")["a"]
    assert "as a router only" in refused(plan.model_copy(update={"role": Role.POP}))[0]
    names = [item.model_copy(update={"name": "ens3"}) for item in plan.interfaces[:1]]
    assert "IOS has no interface ens3" in refused(plan.model_copy(update={"interfaces": names}))[0]
    twice = [*plan.interfaces, plan.interfaces[0].model_copy(update={"name": "loopback0"})]
    assert "both Loopback0" in refused(plan.model_copy(update={"interfaces": twice}))[0]
    lan = [*plan.interfaces[1:], plan.interfaces[0].model_copy(update={"role": "lan"})]
    assert "cannot have the role" in refused(plan.model_copy(update={"interfaces": lan}))[0]


def test_of_routing() -> None:
    plan = plans("ios-every-branch")["spoke"]
    front = [plan.interfaces[0].model_copy(update={"vrf": "front"}), *plan.interfaces[1:]]
    found = refused(plan.model_copy(update={"interfaces": front}))
    assert found == ["policies are not rendered for an IOS with VRFs"] * 3
    six = plans("ios-every-branch")["hub"]
    onto_four = six.routes[1].model_copy(
        update={"hop": six.routes[0].hop.model_copy(update={"tunnel": "twin-4"})}
    )
    assert refused(six.model_copy(update={"routes": [onto_four]})) == ["twin-4 carries no IPv6"]
