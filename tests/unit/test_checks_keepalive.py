"""Checks of keepalives and of routers, at their edges: what they find, where, how bad, what passes."""

from typing import Any

import pytest

from bongsu.checks import Finding, Severity
from tests.unit.check_helpers import EXAMPLE, check_change, check_values, merged, values_of

CISCO = "gre-keepalive"
PAIR = """
version: 1
name: pair
nodes:
  a:
    role: router
    interfaces:
      lo0: {role: loopback, addresses: [192.168.1.1/32]}
      gi0-0: {role: link, addresses: [172.31.0.1/30]}
    routes: [{to: 192.168.1.2/32, via: 172.31.0.2}]
  b:
    role: router
    interfaces:
      lo0: {role: loopback, addresses: [192.168.1.2/32]}
      gi0-0: {role: link, addresses: [172.31.0.2/30]}
    routes: [{to: 192.168.1.1/32, via: 172.31.0.1}]
tunnels:
  tunnel0:
    ends:
      a: {interface: lo0, addresses: [10.10.10.1/30]}
      b: {interface: lo0, addresses: [10.10.10.2/30]}
    keepalive: {seconds: 5, retries: 4}
    bgp: false
"""
IOS = "nodes: {a: {platform: ios}, b: {platform: ios}}\n"


def of_pair(change: str) -> list[Finding]:
    return check_values(merged(values_of(PAIR), values_of(change)))


def only(found: list[Finding], code: str) -> Finding:
    """The one finding of that code."""
    (finding,) = [item for item in found if item.code == code]
    return finding


def codes(found: list[Finding]) -> list[str]:
    return [item.code for item in found]


def tunnel(ends: str = "", **more: str) -> str:
    """A change of tunnel0."""
    words = ", ".join([*(f"{key}: {value}" for key, value in more.items()), f"ends: {{{ends}}}"])
    return f"tunnels: {{tunnel0: {{{words}}}}}"


def test_a_pair_of_either_make_is_clean() -> None:
    assert of_pair("name: linux") == []
    assert of_pair(IOS) == []
    assert check_change("name: cisco", CISCO) == []


# What stops a keepalive at the far end


@pytest.mark.parametrize(
    ("platform", "rpf", "found"),
    [
        ("linux", "strict", True),
        ("linux", "loose", False),
        ("ios", "strict", True),
        ("ios", "loose", True),
    ],
)
def test_reverse_path_forwarding_by_platform(platform: str, rpf: str, found: bool) -> None:
    nodes = f"nodes: {{b: {{platform: {platform}}}}}\n"
    findings = of_pair(nodes + tunnel(f"b: {{rpf: {rpf}}}"))
    assert codes(findings) == (["GRE006"] if found else [])
    for finding in findings:
        assert finding.severity is Severity.ERROR
        assert finding.path == ("tunnels", "tunnel0", "ends", "b", "rpf")
        assert "a takes tunnel0 down" in finding.message
        assert ("`rpf: loose`" in str(finding.hint)) is (platform == "linux")


def test_each_end_is_judged_for_the_other_s_keepalives() -> None:
    findings = of_pair(tunnel("a: {rpf: strict, keepalive: {}}, b: {rpf: strict}"))
    assert [item.path[3] for item in findings] == ["b", "a"]
    # Nobody asks b to send anything back.
    quiet = of_pair(tunnel("a: {keepalive: false}, b: {rpf: strict, keepalive: {}}"))
    assert "GRE006" not in codes(quiet)


@pytest.mark.parametrize(
    ("end", "path", "part"),
    [
        ("{vrf: red}", ("vrf",), "in VRF red at b and its outside in the global table"),
        ("{transport_vrf: red}", (), "in the global table at b and its outside in VRF red"),
        (
            "{vrf: red, transport_vrf: blue}",
            ("vrf",),
            "in VRF red at b and its outside in VRF blue",
        ),
    ],
)
def test_two_vrfs(end: str, path: tuple[str, ...], part: str) -> None:
    finding = only(of_pair(IOS + tunnel(f"b: {end}")), "GRE007")
    assert finding.path == ("tunnels", "tunnel0", "ends", "b", *path)
    assert part in finding.message


def test_one_vrf_is_no_obstacle() -> None:
    assert of_pair(IOS + tunnel("b: {vrf: red, transport_vrf: red}")) == []


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("[]", True),
        ("[{permit: tcp}, {permit: icmp}]", True),
        ("[{permit: gre, from: 192.168.1.1/32, to: 192.168.1.2/32}]", True),
        ("[{permit: gre, from: 192.168.1.2/32, to: 192.168.1.1/32}]", False),
        ("[{permit: ip, from: 172.16.0.0/16}, {permit: gre}]", False),
        ("[{permit: ip}]", False),
    ],
)
def test_access_lists(rules: str, found: bool) -> None:
    findings = of_pair(tunnel(f"b: {{inbound: {rules}}}"))
    assert codes(findings) == (["GRE008"] if found else [])
    if found:
        assert findings[0].path == ("tunnels", "tunnel0", "ends", "b", "inbound")
        assert "permit gre host 192.168.1.2 host 192.168.1.1" in str(findings[0].hint)


def test_a_list_s_hint_is_in_the_family_of_the_underlay() -> None:
    change = """
    nodes:
      a: {interfaces: {lo0: {addresses: ["fd00::1/128"]}}}
      b: {interfaces: {lo0: {addresses: ["fd00::2/128"]}}}
    tunnels: {tunnel0: {ends: {b: {inbound: []}}}}
    """
    assert "from: fd00::2/128, to: fd00::1/128" in str(only(of_pair(change), "GRE008").hint)


def test_multipoint_is_told_once_for_both_ends() -> None:
    finding = only(of_pair(IOS + tunnel(multipoint="true", key="1")), "GRE010")
    assert (finding.path, finding.severity) == (("tunnels", "tunnel0", "keepalive"), "warning")
    one = "a: {keepalive: false}, b: {keepalive: {}}"
    apart = of_pair(IOS + tunnel(one, multipoint="true", key="1"))
    assert only(apart, "GRE010").path == ("tunnels", "tunnel0", "ends", "b", "keepalive")
    assert "GRE003" not in codes(apart), "nothing of it has any effect"


IPSEC = "{psk: 'env:PSK'}"
MAP, TUNNEL = "crypto-map", "tunnel-protection"


@pytest.mark.parametrize(
    ("a", "b", "down"),
    [
        # Both ends send: each is judged by how the other encrypts.
        (TUNNEL, MAP, ["b"]),
        (MAP, TUNNEL, ["a"]),
        (TUNNEL, TUNNEL, ["a", "b"]),
        (MAP, MAP, []),
    ],
)
def test_ipsec_s_four_combinations(a: str, b: str, down: list[str]) -> None:
    ends = f"a: {{protection: {a}}}, b: {{protection: {b}}}"
    findings = of_pair(IOS + tunnel(ends, ipsec=IPSEC))
    assert {item.severity for item in findings} <= {Severity.ERROR}
    assert codes(findings) == ["GRE011"] * len(down)
    for finding, node in zip(findings, down, strict=True):
        assert "tunnel0 is up/down there" in finding.message
        assert f" of {node} drops it" in finding.message
        assert finding.path == ("tunnels", "tunnel0", "ends", "ba"["ab".index(node)], "protection")


def test_ipsec_s_ways_out() -> None:
    def hint(ends: str) -> str:
        return str(only(of_pair(IOS + tunnel(ends, ipsec=IPSEC)), "GRE011").hint)

    third = hint(f"a: {{protection: {TUNNEL}, keepalive: false}}, b: {{protection: {TUNNEL}}}")
    assert third.startswith("`protection: crypto-map` at a; or no keepalive")
    first = hint(f"a: {{protection: {TUNNEL}}}, b: {{protection: {MAP}}}")
    assert first.startswith("`protection: crypto-map` at both ends, or `keepalive: false` at b;")
    both = of_pair(IOS + tunnel(ipsec=IPSEC))
    assert [str(item.hint).partition(";")[0] for item in both] == [
        "`protection: crypto-map` at both ends, or at b only with `keepalive: false` there",
        "`protection: crypto-map` at both ends, or at a only with `keepalive: false` there",
    ]


def test_the_first_way_out_leaves_the_hub_blind_and_says_why() -> None:
    ends = f"a: {{protection: {MAP}, keepalive: false}}, b: {{protection: {TUNNEL}}}"
    (finding,) = of_pair(IOS + tunnel(ends, ipsec=IPSEC))
    assert finding.code == "GRE003"
    assert "would not come back" in str(finding.hint)


def test_of_transport_mode_no_outcome_is_claimed() -> None:
    findings = of_pair(IOS + tunnel(ipsec="{psk: 'env:PSK', mode: transport}"))
    assert codes(findings) == ["GRE011", "GRE011"]
    assert {item.severity for item in findings} == {Severity.INFO}


# What an end writes


@pytest.mark.parametrize(
    ("dialect", "severity"),
    [("huawei", "error"), ("velocloud", "warning"), ("mikrotik", None), ("hpe", None)],
)
def test_dialects_to_an_ios(dialect: str, severity: str | None) -> None:
    nodes = "nodes: {b: {platform: ios}}\n"
    change = tunnel(f"a: {{keepalive: {{dialect: {dialect}}}}}")
    found = [item for item in of_pair(nodes + change) if item.code != "IOS001"]
    assert {item.code for item in found} <= {"GRE012"}
    assert [item.severity for item in found] == ([severity] if severity else [])
    assert of_pair(change) == [], "nodes of ours answer all"


@pytest.mark.parametrize(("a", "b"), [("fd00::1/64", "fd00::2/64"), ("10.9.0.1/30", "fd00::2/64")])
def test_velocloud_needs_ipv4_inside(a: str, b: str) -> None:
    """The agent would refuse the bundle."""
    ends = f"a: {{addresses: ['{a}']}}, b: {{addresses: ['{b}'], keepalive: false}}"
    change = tunnel(ends, keepalive="{dialect: velocloud}")
    finding = only(of_pair(change), "GRE012")
    assert (finding.severity, finding.path) == ("error", ("tunnels", "tunnel0", "keepalive"))
    assert "between inside addresses of IPv4" in finding.message
    plain = change.replace("velocloud", "cisco")
    assert "GRE012" not in codes(of_pair(plain))


def test_an_ios_that_sends_is_told_by_one_check_alone() -> None:
    assert set(codes(of_pair(IOS + tunnel(keepalive="{dialect: huawei}")))) == {"IOS001"}


def test_an_ios_that_only_answers_minds_neither_nonce_nor_pace() -> None:
    nodes = "nodes: {b: {platform: ios}}\n"
    assert of_pair(nodes + tunnel("a: {keepalive: {nonce: true, milliseconds: 50}}")) == []
    refused = of_pair(nodes + tunnel(keepalive="{seconds: null, milliseconds: 50}"))
    assert codes(refused) == ["IOS001"]
    assert "counts a keepalive's interval in seconds" in refused[0].message


OVER_IPV6 = """
nodes:
  a:
    interfaces: {lo0: {addresses: ["fd00::1/128"]}, gi0-0: {addresses: ["fd01::1/64"]}}
    routes: [{to: "fd00::2/128", via: "fd01::2"}]
  b:
    interfaces: {lo0: {addresses: ["fd00::2/128"]}, gi0-0: {addresses: ["fd01::2/64"]}}
    routes: [{to: "fd00::1/128", via: "fd01::1"}]
"""


def test_over_ipv6_only_an_ios_is_unknown() -> None:
    assert of_pair(OVER_IPV6) == []
    mixed = merged(values_of(OVER_IPV6), values_of("nodes: {b: {platform: ios}}"))
    change = merged(mixed, values_of(tunnel("b: {keepalive: false}")))
    found = check_values(merged(values_of(PAIR), change))
    finding = only(found, "GRE005")
    assert (finding.path, finding.severity) == (("tunnels", "tunnel0", "keepalive"), "warning")
    assert "GRE012" not in codes(found)
    ios = values_of("nodes: {a: {platform: ios}}")
    found = check_values(merged(values_of(PAIR), merged(change, ios)))
    assert "GRE005" not in codes(found), "it cannot send one, and IOS001 says so"


# One end or both


def test_routes_into_the_tunnel_at_the_blind_end_make_it_an_error() -> None:
    blind = tunnel("b: {keepalive: false}")
    finding = only(of_pair(blind), "GRE003")
    assert finding.severity is Severity.WARNING
    assert finding.hint == "`keepalive` at b too"
    routes = "nodes: {b: {routes: [{to: 172.16.1.0/24, via: tunnel0}]}}\n"
    finding = only(of_pair(routes + blind), "GRE003")
    assert finding.severity is Severity.ERROR
    assert "b goes on sending 172.16.1.0/24 into it" in finding.message
    assert "take over" not in finding.message


def test_what_waits_to_take_over_at_the_blind_end_is_told() -> None:
    finding = only(check_change(tunnel("b: {keepalive: false}"), CISCO), "GRE003")
    assert finding.severity is Severity.ERROR
    assert "what should take over never does" in finding.message
    policies = """
    nodes: {b: {policies: [{from: 172.16.2.0/24, via: [tunnel0, 172.31.0.1]}]}}
    """
    finding = only(of_pair(policies + tunnel("b: {keepalive: false}")), "GRE003")
    assert "what policy 1 takes into it, and what should take over never does" in finding.message
    policies = "nodes: {b: {policies: [{to: 172.16.1.0/24, via: [tunnel0]}]}}\n"
    finding = only(of_pair(policies + tunnel("b: {keepalive: false}")), "GRE003")
    assert finding.message.endswith("172.16.1.0/24 into it")


def star(spokes: int, **hub_end: str) -> dict[str, Any]:
    """A hub and its spokes; a static route of the hub to each."""
    nodes: dict[str, Any] = {
        "hub": {
            "role": "router",
            "interfaces": {"eth0": {"role": "link", "addresses": ["172.31.0.1/24"]}},
            "routes": [{"to": f"172.16.{n}.0/24", "via": f"t{n}"} for n in range(spokes)],
        }
    }
    tunnels = {}
    for n in range(spokes):
        address = f"172.31.0.{n + 10}/24"
        nodes[f"spoke-{n}"] = {
            "role": "router",
            "interfaces": {"eth0": {"role": "link", "addresses": [address]}},
        }
        ends = {"hub": {"addresses": [f"10.10.{n}.1/30"], **hub_end}}
        ends[f"spoke-{n}"] = {"addresses": [f"10.10.{n}.2/30"]}
        tunnels[f"t{n}"] = {"ends": ends, "bgp": False, "keepalive": {}}
    return {"version": 1, "name": "star", "nodes": nodes, "tunnels": tunnels}


def test_a_hub_is_advised_once_from_three_tunnels_on() -> None:
    assert check_values(star(2)) == []
    (finding,) = check_values(star(3))
    assert (finding.code, finding.severity) == ("GRE009", Severity.INFO)
    assert finding.path == ("nodes", "hub")
    assert "into 3 tunnels" in finding.message
    assert codes(check_values(star(40))) == ["GRE009"]


def test_who_follows_the_advice_is_left_in_peace() -> None:
    values = star(3)
    for item in values["tunnels"].values():
        item["ends"]["hub"]["keepalive"] = False
    assert check_values(values) == []


def test_a_hub_that_watches_alone_is_not_advised_to_stop() -> None:
    values = star(3)
    for n in range(3):
        values["tunnels"][f"t{n}"]["ends"][f"spoke-{n}"]["keepalive"] = False
    assert codes(check_values(values)) == ["GRE003"] * 3


def test_a_hub_that_speaks_bgp_acts_on_what_it_hears() -> None:
    values = star(3)
    for item in values["tunnels"].values():
        item["bgp"] = True
    assert "GRE009" not in codes(check_values(values))


def test_a_hub_with_a_choice_has_to_know() -> None:
    values = star(3)
    for n in range(3):
        via = f"172.31.0.{n + 10}"
        route = {"to": f"172.16.{n}.0/24", "via": via, "distance": 250}
        values["nodes"]["hub"]["routes"].append(route)
    assert check_values(values) == []
    values["tunnels"]["t0"]["ends"]["hub"]["keepalive"] = False
    assert only(check_values(values), "GRE003").severity is Severity.ERROR


# Time


def wired(delay_ms: float, keepalive: str) -> list[Finding]:
    wire = f"{{a: a/gi0-0, b: b/gi0-0, delay_ms: {delay_ms}}}"
    return of_pair(tunnel(keepalive=keepalive) + f"\nlab: {{wires: [{wire}]}}\n")


FAST = "{seconds: null, milliseconds: 10, retries: 3}"


def test_no_first_answer_is_faster_than_the_lab_s_links() -> None:
    assert wired(14, FAST) == []
    finding = only(wired(15, FAST), "GRE013")
    assert finding.severity is Severity.WARNING
    assert finding.path == ("tunnels", "tunnel0", "keepalive")
    assert "30 ms after the first request: an answer takes 30 ms" in finding.message
    assert codes(wired(5000, "{seconds: 5, retries: 2}")) == ["GRE013"]


def test_more_requests_under_way_than_are_remembered() -> None:
    patient = "{seconds: null, milliseconds: 10, retries: 100}"
    assert wired(159, patient) == []
    finding = only(wired(160, patient), "GRE013")
    assert finding.severity is Severity.ERROR
    assert "tunnel0 is up/down for ever" in finding.message
    assert "an interval above 10 ms" in str(finding.hint)


AROUND = """
nodes:
  a: {interfaces: {gi0-1: {role: link, addresses: [172.31.1.1/30]}}}
  b: {interfaces: {gi0-1: {role: link, addresses: [172.31.2.1/30]}}}
  c:
    role: router
    interfaces:
      gi0-0: {role: link, addresses: [172.31.1.2/30]}
      gi0-1: {role: link, addresses: [172.31.2.2/30]}
tunnels: {tunnel0: {keepalive: {seconds: null, milliseconds: 10, retries: 3}}}
lab:
  wires:
    - {a: a/gi0-0, b: b/gi0-0, delay_ms: 100}
    - {a: a/gi0-1, b: c/gi0-0, delay_ms: 3}
    - {a: c/gi0-1, b: b/gi0-1, delay_ms: LAST}
"""


def test_the_shortest_path_through_the_lab_counts() -> None:
    assert of_pair(AROUND.replace("LAST", "4")) == []
    finding = only(of_pair(AROUND.replace("LAST", "40")), "GRE013")
    assert "takes 86 ms" in finding.message


def test_a_tunnel_keeps_to_the_wire_of_its_underlay() -> None:
    """Also where another way round is shorter; one that speaks from a loopback takes that."""
    change = values_of(AROUND.replace("LAST", "4"))
    pinned = values_of(tunnel("a: {interface: gi0-0}, b: {interface: gi0-0}"))
    found = check_values(merged(merged(values_of(PAIR), change), pinned))
    assert "takes 200 ms" in only(found, "GRE013").message


def test_the_lab_s_internet_is_a_path_too() -> None:
    """Tokyo and Seoul: 7.7 ms there and back by light, 32.4 by the lab's links."""
    change = values_of("tunnels: {gre-tokyo: {keepalive: {seconds: null, milliseconds: 10}}}")
    values = values_of(EXAMPLE.read_text())
    del values["tests"]
    found = check_values(merged(values, change))
    assert "takes 32.4 ms" in only(found, "GRE013").message
    del values["lab"]
    assert "GRE013" not in codes(check_values(merged(values, change)))


@pytest.mark.parametrize(("milliseconds", "found"), [(19, True), (20, False)])
def test_nothing_is_faster_than_light(milliseconds: int, found: bool) -> None:
    """Seoul and Frankfurt: 8,570 km, 57.2 ms there and back."""
    change = f"""
    nodes:
      a: {{location: {{city: Seoul, latitude: 37.57, longitude: 126.98}}}}
      b: {{location: {{city: Frankfurt, latitude: 50.11, longitude: 8.68}}}}
    tunnels: {{tunnel0: {{keepalive: {{seconds: null, milliseconds: {milliseconds}, retries: 3}}}}}}
    """
    findings = of_pair(change)
    assert codes(findings) == (["GRE013"] if found else [])
    if found:
        assert "what light takes for 8 5" in findings[0].message


def test_a_keepalive_ahead_of_bfd() -> None:
    change = "tunnels: {gre-seoul: {bfd: {interval_ms: %s, multiplier: 3}}}"
    assert check_change(change % 1000) == []
    finding = only(check_change(change % 1001), "GRE014")
    assert (finding.severity, finding.path) == ("info", ("tunnels", "gre-seoul", "keepalive"))
    assert "dead after 3 s, BFD after 3.003 s" in finding.message


# Strangers


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("key: null", True),
        ("key: 0", False),
        ("key: null, keepalive: {nonce: true}", False),
        ("key: null, keepalive: null", False),
    ],
)
def test_a_stranger_s_answer(change: str, found: bool) -> None:
    findings = check_change(f"tunnels: {{gre-seoul: {{{change}}}}}")
    assert set(codes(findings)) == ({"SEC003"} if found else set())
    assert len({item.path for item in findings}) == len(findings), "one place, told once"
    for finding in findings:
        assert "`nonce: true`" in str(finding.hint)


@pytest.mark.parametrize(("change", "bits"), [("{}", 16), (OVER_IPV6, 20)])
def test_what_a_stranger_has_to_guess(change: str, bits: int) -> None:
    """An IPv4 identification, or an IPv6 flow label."""
    opened = merged(values_of(change), values_of(tunnel(insecure="true")))
    finding = only(check_values(merged(values_of(PAIR), opened)), "SEC003")
    assert f"has {bits} bits at most to guess" in finding.message


def test_on_a_private_underlay_there_are_no_strangers() -> None:
    assert of_pair(tunnel(key="null")) == []
