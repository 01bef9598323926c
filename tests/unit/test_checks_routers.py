"""Checks of routers: static routes into tunnels, loopbacks, VRFs, IPsec's size; and their cost."""

from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest

from bongsu.checks import Severity, run_checks
from bongsu.checks.delay import distance_km
from bongsu.checks.scene import Scene
from bongsu.model.network import Network
from bongsu.model.node import Location
from bongsu.plan.compile import compile_network
from tests.unit.check_helpers import merged, values_of
from tests.unit.test_checks_keepalive import PAIR, codes, of_pair, only, star, tunnel
from tests.unit.test_checks_scale import calls

ROUTES = """
nodes:
  a:
    interfaces: {gi0-1: {role: link, addresses: [172.31.0.5/30]}}
    routes: [%s]
"""
FIRST = "{to: 192.168.1.2/32, via: 172.31.0.2}"
SECOND = "{to: 192.168.1.2/32, via: 172.31.0.6, distance: 250}"


def recursion(*routes: str) -> list[tuple[str, str]]:
    found = of_pair(ROUTES % ", ".join(routes))
    return [(item.code, item.severity.value) for item in found]


ERROR, WARNING = [("RTE003", "error")], [("RTE005", "warning")]


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ([FIRST], []),
        (["{to: 192.168.1.2/32, via: tunnel0}"], ERROR),
        (["{to: 0.0.0.0/0, via: tunnel0}"], ERROR),
        # The longer prefix wins, and of one prefix the lower distance.
        (["{to: 192.168.1.0/24, via: tunnel0}", FIRST], WARNING),
        (["{to: 192.168.1.2/32, via: tunnel0}", SECOND], ERROR),
        (["{to: 192.168.1.2/32, via: tunnel0, distance: 251}", FIRST], WARNING),
        (["{to: 192.168.1.2/32, via: tunnel0, distance: 251}", FIRST, SECOND], []),
        (["{to: 0.0.0.0/0, via: tunnel0}", FIRST], WARNING),
        (["{to: 0.0.0.0/0, via: tunnel0}", FIRST, SECOND], []),
        # What leaves by the same interface is lost with it.
        (
            ["{to: 0.0.0.0/0, via: tunnel0}", FIRST, "{to: 192.168.0.0/16, via: 172.31.0.2}"],
            WARNING,
        ),
        (["{to: 172.16.0.0/16, via: tunnel0}", FIRST], []),
    ],
)
def test_static_routes(routes: list[str], found: list[tuple[str, str]]) -> None:
    assert recursion(*routes) == found


def test_recursion_is_told_with_its_route() -> None:
    finding = only(of_pair(ROUTES % f"{FIRST}, {{to: 0.0.0.0/0, via: tunnel0}}"), "RTE005")
    assert finding.path == ("tunnels", "tunnel0", "ends", "a")
    assert "when gi0-0 of a goes down, the way to 192.168.1.2 is 0.0.0.0/0" in finding.message


def test_a_tunnel_that_dies_with_its_interface_is_let_pass() -> None:
    """A spoke on one uplink that sends everything through the tunnel."""
    change = """
    nodes: {a: {routes: [{to: 0.0.0.0/0, via: tunnel0}]}}
    tunnels: {tunnel0: {ends: {a: {interface: gi0-0}, b: {interface: gi0-0}}}}
    """
    assert of_pair(change) == []


def test_tunnels_by_way_of_each_other() -> None:
    change = """
    nodes:
      a:
        interfaces: {lo1: {role: loopback, addresses: [192.168.2.1/32]}}
        routes: [{to: 192.168.1.2/32, via: tunnel1}, {to: 192.168.2.2/32, via: %s}]
      b:
        interfaces: {lo1: {role: loopback, addresses: [192.168.2.2/32]}}
        routes: [{to: 192.168.0.0/16, via: 172.31.0.1}]
    tunnels:
      tunnel1:
        ends:
          a: {interface: lo1, addresses: [10.10.11.1/30]}
          b: {interface: lo1, addresses: [10.10.11.2/30]}
        mtu: 1472
        key: 1
        bgp: false
    """
    assert "tunnel0, tunnel1" in only(of_pair(change % "tunnel0"), "RTE003").message
    stacked = of_pair(change % "172.31.0.2")
    assert codes(stacked) == ["MTU003"]
    assert "tunnel0 goes through tunnel1" in stacked[0].message


def test_the_ways_of_a_node_in_the_order_they_are_taken() -> None:
    change = ROUTES % ", ".join([SECOND, FIRST, "{to: 192.168.1.0/24, via: tunnel0, distance: 5}"])
    network = _network(merged(values_of(PAIR), values_of(change)))
    scene = Scene(network, compile_network(network))
    ways = scene.ways.to("a", ip_address("192.168.1.2"))
    assert [(str(w.prefix), w.interface, w.distance) for w in ways] == [
        ("192.168.1.2/32", "gi0-0", 1),
        ("192.168.1.2/32", "gi0-1", 250),
        ("192.168.1.0/24", "tunnel0", 5),
    ]
    assert list(scene.ways.to("a", ip_address("192.168.1.2"), "red")) == []
    assert list(scene.ways.to("a", ip_address("172.31.0.6"), "red")) == []


def test_each_vrf_has_its_own_ways() -> None:
    change = ROUTES.replace("172.31.0.5/30]", "172.31.0.5/30], vrf: red") % FIRST
    network = _network(merged(values_of(PAIR), values_of(change)))
    ways = Scene(network, compile_network(network)).ways
    assert [way.interface for way in ways.to("a", ip_address("172.31.0.6"), "red")] == ["gi0-1"]
    assert list(ways.to("a", ip_address("172.31.0.6"))) == []


def _network(values: dict[str, Any]) -> Network:
    import json

    return Network.model_validate_json(json.dumps(values))


def test_a_source_may_be_a_loopback_s_and_nobody_else_s() -> None:
    sourced = "a: {interface: null, source: %s}, b: {interface: null, source: 192.168.1.2}"
    assert of_pair(tunnel(sourced % "192.168.1.1")) == []
    finding = only(of_pair(tunnel(sourced % "192.168.1.9")), "GRE004")
    assert "gi0-0 of a has no address 192.168.1.9" in finding.message


def test_ipsec_takes_its_part_of_the_mtu() -> None:
    ios = "nodes: {a: {platform: ios}, b: {platform: ios}}\n"
    ends = "a: {protection: crypto-map}, b: {protection: crypto-map}"
    # GRE 24, ESP in tunnel mode over IPv4 20 + 8 + 16 + 17 + 16.
    fits = of_pair(ios + tunnel(ends, ipsec="{psk: 'env:PSK'}", mtu="1399"))
    assert fits == []
    finding = only(of_pair(ios + tunnel(ends, ipsec="{psk: 'env:PSK'}", mtu="1400")), "MTU001")
    assert "1400 bytes and 101 of encapsulation" in finding.message
    assert "1399 at most" in str(finding.hint)
    assert of_pair(ios + tunnel(mtu="1476")) == []


def test_of_several_underlays_the_smallest_counts() -> None:
    narrow = ROUTES % f"{FIRST}, {SECOND}"
    narrow = narrow.replace("172.31.0.5/30]", "172.31.0.5/30], mtu: 1400")
    finding = only(of_pair(narrow + "tunnels: {tunnel0: {mtu: 1377}}"), "MTU001")
    assert "1376 at most" in str(finding.hint)


PUBLIC = """
nodes:
  a:
    platform: ios
    interfaces: {lo0: {addresses: [198.51.100.1/32]}}
    routes: [{to: 203.0.113.1/32, via: 172.31.0.2}]
  b:
    platform: ios
    interfaces: {lo0: {addresses: [203.0.113.1/32]}}
    routes: [{to: 198.51.100.1/32, via: 172.31.0.1}]
"""


def test_what_is_encrypted_need_not_be_called_insecure() -> None:
    ends = "a: {protection: crypto-map}, b: {protection: crypto-map}"
    assert codes(of_pair(PUBLIC)) == ["SEC001"]
    assert of_pair(PUBLIC + tunnel(ends, ipsec="{psk: 'env:PSK'}")) == []


def test_vrfs_have_their_addresses_to_themselves() -> None:
    change = """
    nodes:
      a:
        platform: ios
        interfaces:
          gi0-1: {role: lan, addresses: [172.16.1.1/24], vrf: red}
          gi0-2: {role: lan, addresses: [172.16.1.1/24], vrf: %s}
          gi0-3: {role: lan, addresses: [172.16.2.1/24]}
          gi0-4: {role: lan, addresses: [172.16.2.2/25], vrf: red}
    """
    assert of_pair(change % "blue") == []
    assert codes(of_pair(change % "red")) == ["ADR001"]


def test_linux_nodes_are_not_given_what_is_not_built() -> None:
    change = """
    nodes: {a: {interfaces: {gi0-0: {vrf: red}}}}
    tunnels: {tunnel0: {multipoint: true, ipsec: {psk: "env:PSK"}, keepalive: null, ends: {
      a: {interface: gi0-0, vrf: red}, b: {interface: gi0-0, vrf: blue, transport_vrf: blue}}}}
    """
    found = [item for item in of_pair(change) if item.code == "LNX001"]
    assert [".".join(map(str, item.path)) for item in found] == [
        "nodes.a.interfaces.gi0-0.vrf",
        "tunnels.tunnel0.ends.a.vrf",
        "tunnels.tunnel0.ipsec",
        "tunnels.tunnel0.multipoint",
        "tunnels.tunnel0.ends.b.vrf",
        "tunnels.tunnel0.ends.b.transport_vrf",
    ]
    assert {item.severity for item in found} == {Severity.ERROR}


def test_routers_without_bgp_may_share_a_router_id_that_nobody_hears() -> None:
    change = """
    nodes:
      a: {bgp: {router_id: 10.0.0.1}}
      b: {bgp: {router_id: 10.0.0.1}}
    """
    assert of_pair(change) == []
    assert codes(of_pair(change + tunnel(bgp="true"))) == ["BGP006"]


def test_distances() -> None:
    seoul = Location(city="Seoul", latitude=37.57, longitude=126.98)
    frankfurt = Location(city="Frankfurt", latitude=50.11, longitude=8.68)
    antipode = Location(city="", latitude=-37.57, longitude=-53.02)
    assert distance_km(seoul, seoul) == 0
    assert distance_km(seoul, frankfurt) == distance_km(frankfurt, seoul)
    assert 8500 < distance_km(seoul, frankfurt) < 8650
    assert round(distance_km(seoul, antipode)) == 20015  # half of 2 pi r


def test_eight_times_the_star_is_eight_times_the_work() -> None:
    """Also with a lab: one wire for each spoke, which the fastest keepalive there is has to ask for."""
    counts = []
    for number in (20, 160):
        values = star(number)
        wires = []
        for n in range(number):
            values["nodes"][f"spoke-{n}"]["routes"] = [{"to": "0.0.0.0/0", "via": f"t{n}"}]
            values["tunnels"][f"t{n}"]["keepalive"] = {"milliseconds": 5, "retries": 1}
            values["nodes"]["hub"]["interfaces"][f"e{n}"] = {
                "role": "link",
                "addresses": [f"172.30.{n}.1/30"],
            }
            wires.append({"a": f"hub/e{n}", "b": f"spoke-{n}/eth0", "delay_ms": 1})
        values["lab"] = {"wires": wires}
        network = _network(values)
        plans = compile_network(network)
        run_checks(network, plans)
        counts.append(calls(partial(run_checks, network, plans)))
    assert counts[1] / counts[0] < 8 * 1.15
