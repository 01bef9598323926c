"""Checks of what a node cannot reach, and of addresses that nobody can have."""

import pytest

from bongsu.checks import run_checks
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from tests.unit.check_helpers import EXAMPLE, check_change, check_values, example, merged, values_of
from tests.unit.test_checks_keepalive import codes, of_pair, only

NO_GATEWAY = "nodes: {seoul: {interfaces: {ens3: {gateway: null}}}}\n"
UPLINK = ("nodes", "seoul", "interfaces", "ens3")


def test_without_a_gateway_every_far_end_is_lost_and_told_once() -> None:
    finding = only(check_change(NO_GATEWAY), "RTE006")
    assert (finding.path, finding.severity) == (UPLINK, "error")
    assert "no route to 192.0.2.10 (the far end of gre-seoul) and 1 more" in finding.message
    assert "`gateway:`" in str(finding.hint)


@pytest.mark.parametrize(
    ("routes", "lost"),
    [
        ("{to: 192.0.2.0/24, via: 203.0.113.1}, {to: 169.254.169.254/32, via: 203.0.113.1}", None),
        ("{to: 192.0.2.0/24, via: 203.0.113.1}", "169.254.169.254 (neighbor vultr)"),
        ("{to: 169.254.169.254/32, via: 203.0.113.1}", "192.0.2.10 (the far end of gre-seoul)"),
    ],
)
def test_a_static_route_will_do(routes: str, lost: str | None) -> None:
    base = merged(example(), values_of(NO_GATEWAY))
    base["nodes"]["seoul"]["routes"] = values_of(f"routes: [{routes}]")["routes"]
    found = [item.message for item in check_values(base) if item.code == "RTE006"]
    assert [str(lost) in message for message in found] == ([] if lost is None else [True])


def test_a_default_route_from_a_neighbor_on_the_link_will_do() -> None:
    neighbor = (
        "nodes: {seoul: {bgp: {neighbors: {vultr: {address: 203.0.113.1, multihop: null%s}}}}}"
    )
    base = merged(example(), values_of(NO_GATEWAY))
    learned = merged(base, values_of(neighbor % ", import: default"))
    assert "RTE006" not in codes(check_values(learned))
    assert "RTE006" in codes(check_values(merged(base, values_of(neighbor % ""))))
    # One that is itself out of reach brings nothing.
    far = values_of("nodes: {seoul: {bgp: {neighbors: {vultr: {import: default}}}}}")
    assert "RTE006" in codes(check_values(merged(base, far)))


def test_each_family_needs_its_own() -> None:
    change = values_of(
        """
        nodes:
          seoul: {interfaces: {ens3: {addresses: [203.0.113.10/24, "2001:db8:a::1/64"]}}}
          home: {interfaces: {wan: {addresses: [192.0.2.10/24, "2001:db8:b::1/64"]}}}
        tunnels:
          gre-seoul:
            ends: {seoul: {source: "2001:db8:a::1"}, home: {source: "2001:db8:b::1"}}
        """
    )
    found = [item for item in check_values(merged(example(), change)) if item.code == "RTE006"]
    assert [item.path[1] for item in found] == ["seoul", "home"]
    assert all("`gateway6:`" in str(item.hint) for item in found)


def test_between_routers_a_route_is_missing() -> None:
    finding = only(of_pair("nodes: {a: {routes: []}}"), "RTE006")
    assert finding.path == ("nodes", "a")
    assert "nodes.a.routes" in str(finding.hint)


def test_a_vrf_is_looked_at_by_itself() -> None:
    """Routes of a VRF are not in the file; the gateway of its uplink is."""
    ends = "\ntunnels: {tunnel0: {ends: {b: {vrf: red, transport_vrf: red}}}}"
    uplink = (
        "nodes: {b: {interfaces: {x: {role: uplink, addresses: [198.51.100.2/24], vrf: red%s}}}}"
    )
    assert "RTE006" not in codes(of_pair(ends))
    finding = only(of_pair(uplink % "" + ends), "RTE006")
    assert "no route in VRF red to 192.168.1.1" in finding.message
    assert "RTE006" not in codes(of_pair(uplink % ", gateway: 198.51.100.1" + ends))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("203.0.113.0/24", True),
        ("203.0.113.255/24", True),
        ("203.0.113.254/24", False),
        ("203.0.113.2/30", False),
        ("203.0.113.3/30", True),
        ("203.0.113.0/31", False),
        ("203.0.113.0/32", False),
    ],
)
def test_no_host_has_the_first_or_last_address(address: str, found: bool) -> None:
    change = f"nodes: {{seoul: {{interfaces: {{ens3: {{addresses: [{address}]}}}}}}}}"
    places = [item.path for item in check_change(change) if item.code == "ADR008"]
    assert places == ([(*UPLINK, "addresses", 0)] if found else [])


def test_in_ipv6_the_last_address_is_a_hosts() -> None:
    last = '"2001:db8:a:0:ffff:ffff:ffff:ffff/64"'
    change = f"nodes: {{seoul: {{interfaces: {{ens3: {{addresses: [203.0.113.10/24, {last}]}}}}}}}}"
    assert "ADR008" not in codes(check_change(change))


def test_a_host_of_the_lab() -> None:
    text = EXAMPLE.read_text().replace("address: 103.178.34.10}", "address: 103.178.35.255}")
    loaded = load_text(text, EXAMPLE.name)
    finding = only(run_checks(loaded.network, compile_network(loaded.network)), "ADR008")
    assert finding.path == ("lab", "hosts", "web", "address")


@pytest.mark.parametrize("gateway", ["203.0.113.0", "203.0.113.255"])
def test_nor_has_a_gateway(gateway: str) -> None:
    change = f"nodes: {{seoul: {{interfaces: {{ens3: {{gateway: {gateway}}}}}}}}}"
    assert "first or last" in only(check_change(change), "ADR003").message
