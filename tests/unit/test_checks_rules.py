"""Each rule at its edges: what it finds, where it points, and what it must let pass."""

import pytest

from bongsu.checks import Severity
from tests.unit.check_helpers import check_change, check_values, example, found_codes


def test_the_example_is_clean() -> None:
    assert check_values(example()) == []


BOTH_FAMILIES = """
nodes:
  seoul: {interfaces: {ens3: {addresses: [203.0.113.10/24, "2001:db8:a::1/64"]}}}
  home: {interfaces: {wan: {addresses: [192.0.2.10/24, "2001:db8:b::1/64"]}}}
"""

CASES: list[tuple[str, str, tuple[str | int, ...], str]] = [
    # code, change, path, a part of the message
    (
        "BGP001",
        "nodes: {seoul: {announce: [{prefix: 103.178.34.0/25}]}}",
        ("nodes", "seoul", "announce", 0, "prefix"),
        "longer than /24",
    ),
    (
        "BGP001",
        "owner: {prefixes: [103.178.34.0/23, '2001:db8::/32']}\n"
        "nodes: {seoul: {announce: [{prefix: '2001:db8:0:1::/64'}]}}",
        ("nodes", "seoul", "announce", 0, "prefix"),
        "longer than /48",
    ),
    (
        "BGP002",
        "nodes: {seoul: {announce: [{prefix: 103.178.32.0/22}]}}",
        ("nodes", "seoul", "announce", 0, "prefix"),
        "103.178.32.0/22 is not the owner's",
    ),
    (
        "BGP004",
        "nodes: {seoul: {bgp: {neighbors: null}}}",
        ("nodes", "seoul", "announce"),
        "no BGP neighbor",
    ),
    (
        "BGP004",
        "nodes: {home: {bgp: {neighbors: {isp: {asn: 64510, address: 192.0.2.1}}}, "
        "announce: [{prefix: 103.178.34.0/23}]}}",
        ("nodes", "home", "announce"),
        "only PoPs announce",
    ),
    (
        "BGP005",
        "nodes: {seoul: {bgp: {neighbors: {vultr: {hold_s: 240}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr", "hold_s"),
        "240 s",
    ),
    (
        "BGP006",
        "nodes: {tokyo: {interfaces: {ens3: {addresses: [203.0.113.10/24]}}}}",
        ("nodes", "tokyo"),
        "both have the router id 203.0.113.10",
    ),
    (
        "BGP006",
        "nodes: {tokyo: {bgp: {router_id: '2001:db8::1'}}}",
        ("nodes", "tokyo", "bgp", "router_id"),
        "no usable router id",
    ),
    (
        "BGP007",
        "nodes: {seoul: {bgp: {neighbors: {vultr: {asn: 64500}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr", "asn"),
        "our own AS number",
    ),
    ("BGP008", "owner: {asn: 23456}", ("owner", "asn"), "reserved"),
    ("BGP008", "owner: {asn: 4200000001}", ("owner", "asn"), "private"),
    (
        "BGP009",
        "nodes: {seoul: {bgp: {neighbors: {vultr: {address: 203.0.113.10}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr", "address"),
        "own address",
    ),
    (
        "BGP009",
        "nodes: {seoul: {bgp: {neighbors: {vultr: {address: '2001:db8::1'}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr", "address"),
        "no IPv6 address",
    ),
    (
        "BGP010",
        "nodes: {seoul: {announce: [{prefix: 103.178.34.0/23, deaggregate_on_failure: 23}]}}",
        ("nodes", "seoul", "announce", 0, "deaggregate_on_failure"),
        "no more specific",
    ),
    (
        "BGP010",
        "owner: {prefixes: [103.0.0.0/9]}\n"
        "nodes: {seoul: {announce: [{prefix: 103.0.0.0/9, deaggregate_on_failure: 24}]}}",
        ("nodes", "seoul", "announce", 0, "deaggregate_on_failure"),
        "more routes than",
    ),
    (
        "BGP010",
        "tunnels: {gre-tokyo: {bgp: false, bfd: {interval_ms: 10}}}",
        ("nodes", "tokyo", "announce", 0, "deaggregate_on_failure"),
        "no BGP",
    ),
    (
        "BFD001",
        "nodes: {seoul: {bgp: {neighbors: {vultr: {bfd: {interval_ms: 9}}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr", "bfd", "interval_ms"),
        "every 9 ms",
    ),
    (
        "ADR001",
        "nodes: {home: {interfaces: {lan: {addresses: [103.178.34.1/23, 203.0.113.10/32]}}}}",
        ("nodes", "home", "interfaces", "lan", "addresses", 1),
        "ens3 of seoul",
    ),
    (
        "ADR001",
        "nodes: {home: {interfaces: {lan: {addresses: [103.178.34.1/23, 10.99.1.2/32]}}}}",
        ("tunnels", "gre-seoul", "ends", "home", "addresses", 0),
        "lan of home",
    ),
    (
        "ADR002",
        "nodes: {home: {interfaces: {lan: {addresses: [103.178.34.1/23, 10.99.0.1/16]}}}}",
        ("tunnels", "gre-seoul", "ends", "home", "addresses", 0),
        "10.99.0.0/16 of lan",
    ),
    (
        "ADR003",
        "nodes: {seoul: {interfaces: {ens3: {gateway: 203.0.113.10}}}}",
        ("nodes", "seoul", "interfaces", "ens3", "gateway"),
        "own address",
    ),
    (
        "ADR003",
        "nodes: {seoul: {interfaces: {ens3: {gateway: '2001:db8::1'}}}}",
        ("nodes", "seoul", "interfaces", "ens3", "gateway"),
        "is IPv6",
    ),
    (
        "ADR003",
        "nodes: {seoul: {interfaces: {ens3: {gateway6: '2001:db8::1'}}}}",
        ("nodes", "seoul", "interfaces", "ens3", "gateway6"),
        "no IPv6 address",
    ),
    (
        "ADR004",
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.1/24]}}}}",
        ("tunnels", "gre-seoul", "ends"),
        "both ends are 10.99.1.1",
    ),
    (
        "ADR004",
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.255/24]}}}}",
        ("tunnels", "gre-seoul", "ends"),
        "no host can have",
    ),
    (
        "ADR004",
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.2/24, 'fd00::2/64']}}}}",
        ("tunnels", "gre-seoul", "ends"),
        "only one end has an IPv6",
    ),
    (
        "ADR005",
        "nodes: {seoul: {interfaces: {ens3: {addresses: [10.0.0.2/24], gateway: 10.0.0.1}}, "
        "bgp: {neighbors: {vultr: {address: 203.0.113.1}}}}}",
        ("nodes", "seoul", "bgp", "neighbors", "vultr"),
        "private (RFC 1918)",
    ),
    (
        "ADR007",
        "nodes: {seoul: {announce: [{prefix: 0.0.0.0/0}]}}",
        ("nodes", "seoul", "announce", 0, "prefix"),
        "every filter drops it",
    ),
    (
        "GRE001",
        "tunnels: {again: {ends: {seoul: {addresses: [10.9.9.1/30]}, "
        "home: {addresses: [10.9.9.2/30]}}, key: 1, insecure: true, egress: true}}",
        ("tunnels", "again", "key"),
        "the key 1",
    ),
    (
        "GRE003",
        "nodes: {home: {platform: pfsense}}\ntunnels: {gre-seoul: {bfd: null}}",
        ("tunnels", "gre-seoul", "ends", "home"),
        "only seoul sends keepalives",
    ),
    (
        "GRE004",
        "nodes: {home: {interfaces: {wan: {addresses: ['2001:db8::2/64'], gateway: null}}, "
        "bgp: {router_id: 192.0.2.10}}}",
        ("tunnels", "gre-seoul", "ends"),
        "seoul would speak IPv4 and home IPv6",
    ),
    (
        "MTU001",
        "nodes: {home: {interfaces: {wan: {mtu: 1492}}}}\ntunnels: {gre-seoul: {mtu: 1472}}",
        ("tunnels", "gre-seoul", "mtu"),
        "the underlay's 1492",
    ),
    (
        "MTU002",
        "tunnels: {gre-seoul: {mtu: 1279, ends: "
        "{seoul: {addresses: [10.99.1.1/24, 'fd00::1/64']}, "
        "home: {addresses: [10.99.1.2/24, 'fd00::2/64']}}}}",
        ("tunnels", "gre-seoul", "mtu"),
        "less than IPv6's 1280",
    ),
    (
        "PFS001",
        "nodes: {home: {platform: pfsense}}",
        ("tunnels", "gre-seoul", "key"),
        "has no key",
    ),
    (
        "PFS001",
        "nodes: {home: {platform: pfsense}}\n"
        "tunnels: {gre-tokyo: {ends: {tokyo: {keepalive: false}}}}",
        ("tunnels", "gre-tokyo", "ends", "home"),
        "sends no GRE keepalive on",
    ),
    (
        "PFS001",
        "nodes: {home: {platform: pfsense}}\n"
        "tunnels: {gre-tokyo: {ends: {home: {keepalive: false}}}}",
        ("tunnels", "gre-tokyo", "ends", "tokyo"),
        "tokyo would call gre-tokyo dead",
    ),
    (
        "PFS001",
        "nodes: {home: {platform: pfsense, "
        "interfaces: {igb0: {role: lan, addresses: [10.3.0.1/24]}}}}",
        ("nodes", "home", "interfaces", "igb0"),
        "no interface igb0",
    ),
    (
        "PFS001",
        "nodes: {tokyo: {platform: pfsense}}",
        ("nodes", "tokyo", "announce"),
        "announces nothing",
    ),
    (
        "PFS001",
        "nodes: {tokyo: {platform: pfsense}}",
        ("nodes", "tokyo", "bgp", "neighbors"),
        "no external BGP neighbor",
    ),
    (
        "RTE001",
        "owner: {prefixes: [103.178.34.0/23, '2001:db8::/32']}\n"
        "nodes: {seoul: {announce: [{prefix: '2001:db8::/32'}]}}",
        ("nodes", "seoul", "announce", 0),
        "no tunnel of it has IPv6 addresses inside",
    ),
    (
        "RTE001",
        "nodes: {home: {role: pop}}",
        ("nodes", "seoul", "announce", 0),
        "leads to no home",
    ),
    (
        "RTE003",
        "nodes: {home: {interfaces: {wan: {addresses: [10.99.1.77/32], gateway: 10.99.1.1}}}}",
        ("tunnels", "gre-seoul"),
        "routed into the tunnel",
    ),
    (
        "RTE004",
        "tunnels: {gre-seoul: {egress: false}}",
        ("tunnels", "gre-seoul"),
        "when the other ways are down",
    ),
    (
        "RTE004",
        "tunnels: {gre-seoul: {bgp: false}, gre-tokyo: {bgp: false}}",
        ("tunnels", "gre-seoul"),
        "no way out at all",
    ),
    (
        "SEC001",
        "nodes: {home: {interfaces: {wan: {addresses: [100.64.0.2/24], gateway: 100.64.0.1}}}}\n"
        "tunnels: {gre-seoul: {insecure: false}}",
        ("tunnels", "gre-seoul"),
        "crosses the open Internet",
    ),
]


@pytest.mark.parametrize(("code", "change", "path", "part"), CASES)
def test_found(code: str, change: str, path: tuple[str | int, ...], part: str) -> None:
    found = [(f.path, f.message) for f in check_change(change) if f.code == code]
    assert any(at == path and part in message for at, message in found), found


QUIET = [
    # change, code that must not come of it
    ("nodes: {seoul: {announce: [{prefix: 103.178.34.0/24}]}}", "BGP001"),
    (
        "nodes: {seoul: {bgp: {neighbors: {vultr: {hold_s: 240, bfd: {interval_ms: 300}}}}}}",
        "BGP005",
    ),
    ("nodes: {seoul: {bgp: {asn: 64500}}}", "BGP007"),
    (
        "nodes: {seoul: {bgp: {neighbors: {vultr: {address: 203.0.113.1, multihop: null}}}}}",
        "BGP009",
    ),
    (
        "nodes: {seoul: {bgp: {neighbors: {vultr: {address: 203.0.113.1, multihop: null}}}}}",
        "SEC002",
    ),
    ("tunnels: {gre-seoul: {bfd: {interval_ms: 10}}}", "BFD001"),
    ("nodes: {seoul: {interfaces: {ens3: {addresses: [203.0.113.10/32]}}}}", "ADR003"),
    (
        "nodes: {seoul: {interfaces: {ens3: {addresses: [203.0.113.10/24, '2001:db8::2/64'], "
        "gateway6: 'fe80::1'}}}}",
        "ADR003",
    ),
    # Two LANs behind NAT, two tunnels with fe80:: inside, two addresses of one interface.
    (
        "nodes: {seoul: {interfaces: {lan: {role: lan, addresses: [192.168.1.1/24]}}}, "
        "tokyo: {interfaces: {lan: {role: lan, addresses: [192.168.1.1/24]}}}}",
        "ADR001",
    ),
    (
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.2/24, 'fe80::2/64']}, "
        "seoul: {addresses: [10.99.1.1/24, 'fe80::1/64']}}}, "
        "gre-tokyo: {ends: {home: {addresses: [10.99.2.2/24, 'fe80::2/64']}, "
        "tokyo: {addresses: [10.99.2.1/24, 'fe80::1/64']}}}}",
        "ADR001",
    ),
    (
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.2/24, 'fe80::2/64']}, "
        "seoul: {addresses: [10.99.1.1/24, 'fe80::1/64']}}}, "
        "gre-tokyo: {ends: {home: {addresses: [10.99.2.2/24, 'fe80::2/64']}, "
        "tokyo: {addresses: [10.99.2.1/24, 'fe80::1/64']}}}}",
        "ADR002",
    ),
    (
        "nodes: {home: {interfaces: {lan: {addresses: [103.178.34.1/23, 103.178.34.2/23]}}}}",
        "ADR002",
    ),
    (
        "tunnels: {gre-seoul: {ends: {home: {addresses: [10.99.1.1/31]}, "
        "seoul: {addresses: [10.99.1.0/31]}}}}",
        "ADR004",
    ),
    (
        "nodes: {home: {interfaces: {wan: {addresses: [10.5.0.2/24], gateway: 10.5.0.1}}}, "
        "seoul: {interfaces: {ens3: {addresses: [10.6.0.2/24], gateway: 10.6.0.1}}}, "
        "tokyo: {interfaces: {ens3: {addresses: [10.7.0.2/24], gateway: 10.7.0.1}}}}",
        "ADR005",
    ),
    (
        "tunnels: {gre-seoul: {ends: {home: {addresses: [103.178.35.2/30]}, "
        "seoul: {addresses: [103.178.35.1/30]}}}}",
        "ADR006",
    ),
    (
        "nodes: {home: {interfaces: {wan: {addresses: [10.5.0.2/24], gateway: 10.5.0.1}}}, "
        "seoul: {interfaces: {ens3: {addresses: [10.6.0.2/24], gateway: 10.6.0.1}}}}\n"
        "tunnels: {gre-seoul: {insecure: false}}",
        "SEC001",
    ),
    ("tunnels: {gre-seoul: {ends: {seoul: {keepalive: false}}}}", "GRE003"),
    ("tunnels: {gre-seoul: {bfd: null, keepalive: null}}", "GRE003"),
    # IPv6 carries a keepalive as well, between nodes of ours.
    (
        BOTH_FAMILIES + "tunnels: {gre-seoul: {ends: {seoul: {source: '2001:db8:a::1'}, "
        "home: {source: '2001:db8:b::1'}}}}",
        "GRE005",
    ),
    ("tunnels: {gre-seoul: {mtu: 1400}}", "MTU001"),
]


@pytest.mark.parametrize(("change", "code"), QUIET)
def test_let_pass(change: str, code: str) -> None:
    assert code not in found_codes(change)


def test_a_private_as_number_is_a_warning_and_a_reserved_one_an_error() -> None:
    def severity(asn: int) -> set[Severity]:
        found = check_change(f"owner: {{asn: {asn}}}")
        return {item.severity for item in found if item.code == "BGP008"}

    assert severity(64512) == {Severity.WARNING}
    assert severity(65535) == {Severity.ERROR}
    assert severity(65551) == set()  # documentation, RFC 5398


def test_no_way_out_is_worse_than_one_way_less() -> None:
    one = check_change("tunnels: {gre-seoul: {egress: false}}")
    none = check_change("tunnels: {gre-seoul: {egress: false}, gre-tokyo: {egress: false}}")
    assert [item.severity for item in one if item.code == "RTE004"] == [Severity.WARNING]
    assert [item.severity for item in none if item.code == "RTE004"] == [Severity.ERROR]


def test_mtu_hints_name_the_segment_size() -> None:
    (finding,) = check_change("tunnels: {gre-seoul: {mtu: 1500}}")
    assert finding.hint is not None
    assert "1472 at most (TCP MSS 1432 over IPv4, 1412 over IPv6)" in finding.hint


def test_a_gateway_of_the_other_family_has_a_key_of_its_own() -> None:
    change = "nodes: {seoul: {interfaces: {ens3: {gateway: '2001:db8::1'}}}}"
    (finding,) = [item for item in check_change(change) if item.code == "ADR003"]
    assert finding.hint == "`gateway6: 2001:db8::1`"


def test_nobody_is_told_to_have_a_pfsense_send_keepalives() -> None:
    def hint(change: str) -> str | None:
        (finding,) = [item for item in check_change(change) if item.code == "GRE003"]
        return finding.hint

    blind = "tunnels: {gre-seoul: {bfd: null, ends: {home: {keepalive: false}}}}"
    assert hint(blind) == "`keepalive` at home too, or `bfd` on the tunnel"
    assert "sends no keepalives" in str(hint("nodes: {home: {platform: pfsense}}\n" + blind))


RING = """
owner: {prefixes: [103.178.34.0/23, 45.10.0.0/23]}
nodes:
  seoul: {announce: [{prefix: 103.178.34.0/23}]}
  tokyo: {announce: [{prefix: 45.10.0.0/23, to: [gre-other]}]}
  home:
    interfaces: {wan: {addresses: [45.10.0.10/24], gateway: 45.10.0.1}}
  other:
    role: home
    interfaces:
      wan: {role: uplink, addresses: [103.178.35.10/29], gateway: 103.178.35.9}
      lan: {role: lan, addresses: [45.10.1.1/24]}
tunnels:
  gre-other:
    ends: {tokyo: {addresses: [10.99.7.1/30]}, other: {addresses: [10.99.7.2/30]}}
    insecure: true
    egress: true
"""


def test_a_ring_of_tunnels_is_found_as_one() -> None:
    (finding,) = [item for item in check_change(RING) if item.code == "RTE003"]
    assert "gre-other" in finding.message
    assert "gre-seoul" in finding.message


def test_a_default_route_over_a_tunnel_draws_the_other_tunnels_in() -> None:
    change = """
    nodes:
      home:
        bgp:
          neighbors: {inner: {asn: 64510, address: 10.99.1.1, import: default, multihop: 2}}
    """
    found = [item for item in check_change(change) if item.code == "RTE003"]
    assert [item.path for item in found] == [("tunnels", "gre-seoul")]
    # The other tunnel stands on it, and has to fit into it.
    stacked = [item for item in check_change(change) if item.code == "MTU003"]
    assert [item.path for item in stacked] == [("tunnels", "gre-tokyo")]
