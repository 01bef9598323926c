"""Each rule about accelerators at its edges: what it finds, where, how bad, and what must pass."""

import pytest

from bongsu.checks import Finding, Severity
from tests.unit.check_helpers import check_change, example

E, W, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
GA1, GA2 = ("accelerators", "ga-1"), ("accelerators", "ga-2")
EAR = (*GA1, "listeners", "ipsec")
OFFICE = ("vpns", "office")
EARS = "accelerators: {ga-1: {listeners: {%s}}}"
POP = ("nodes", "pop-shanghai")
NONE_THROUGH = "vpns: {office: {tunnels: {ga1: {accelerator: null}, ga2: {accelerator: null}}}}"
ENDPOINT = "ipsec: {endpoints: {tunnel-1: {address: %s}}}"
GAME = "game: {ports: [27015], endpoints: {one: {address: 198.51.100.80}}%s}"
PORTS = "{protocol: %s, ports: [%s], endpoints: {one: {address: 198.51.100.11}}}"

SECOND_SITE = """
nodes:
  gw-beijing:
    role: router
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.74/26], gateway: 192.0.2.65}
      lan: {role: lan, addresses: [10.30.0.1/16]}
vpns:
  beijing:
    site: gw-beijing
    cloud: seoul
    static: true
    tunnels:
      bj1: {%sheadend: 198.51.100.11, inside: 169.254.11.2/30, peer: 169.254.11.1, psk: 'env:K'}
"""

CASES: list[tuple[str, Severity, str, tuple[str | int, ...], str]] = [
    # code, severity, change, path, a part of the message
    ("ACC001", E, "vpns: {office: {encapsulation: false}}", (*OFFICE, "encapsulation"), "ga-1"),
    (
        "ACC002",
        E,
        "vpns: {office: {ike: {version: 1}, tunnels: {ga2: {id: 192.0.2.10}}}}",
        (*OFFICE, "tunnels", "ga2", "id"),
        "203.0.113.152, and then is told 192.0.2.10",
    ),
    (
        "ACC003",
        W,
        "clouds: {seoul: {networks: [10.77.0.0/16, 172.32.0.0/16]}}",
        ("clouds", "seoul", "networks", 1),
        "only looks like 172.16.0.0/12",
    ),
    (
        "ACC003",
        W,
        "vpns: {office: {networks: [192.169.4.0/24]}}",
        (*OFFICE, "networks", 0),
        "only looks like 192.168.0.0/16",
    ),
    (
        "ACC003",
        W,
        "nodes: {gw-shanghai: {interfaces: {lan: {addresses: [100.128.0.1/24]}}}}",
        ("nodes", "gw-shanghai", "interfaces", "lan", "addresses", 0),
        "only looks like 100.64.0.0/10",
    ),
    (
        "ACC003",
        W,
        "clouds: {seoul: {networks: ['2a00:1450::/32']}}",
        ("clouds", "seoul", "networks", 0),
        "not the owner's.",
    ),
    ("ACC004", E, EARS % "ipsec: {ports: [500]}", (*EAR, "ports"), "takes UDP 4500"),
    ("ACC004", E, EARS % "ipsec: {ports: ['400-4499']}", (*EAR, "ports"), "takes UDP 4500"),
    ("ACC004", E, EARS % "ipsec: {protocol: tcp}", (*GA1, "listeners"), "takes UDP 4500"),
    ("ACC004", W, EARS % "ipsec: {ports: [4500]}", (*EAR, "ports"), "takes UDP 500"),
    (
        "ACC004",
        E,
        EARS
        % ("ipsec: {ports: [500]}, nat: {ports: [4500], endpoints: {o: {address: 198.51.100.9}}}"),
        (*GA1, "listeners", "nat", "endpoints"),
        "another that knows nothing",
    ),
    (
        "ACC004",
        E,
        f"{NONE_THROUGH}\n{EARS % 'ipsec: {ports: [500]}'}",
        (*EAR, "ports"),
        "takes UDP 4500",
    ),
    (
        "ACC005",
        E,
        "accelerators: {ga-1: {regions: {shanghai: {address: 203.0.113.10}},"
        " listeners: {ipsec: {ports: ['4000-4800']}}}}",
        (*EAR, "ports"),
        "UDP 4611 on this address is pop-shanghai's own measuring",
    ),
    (
        "ACC005",
        E,
        "accelerators: {ga-1: {regions: {shanghai: {address: 203.0.113.10}},"
        f" listeners: {{web: {PORTS % ('tcp', '22')}}}}}}}",
        (*GA1, "listeners", "web", "ports"),
        "TCP 22 on this address is pop-shanghai's own SSH",
    ),
    (
        "ACC006",
        E,
        "accelerators: {ga-2: {regions: {shanghai: {address: 203.0.113.21}}}}",
        (*GA2, "listeners", "ipsec", "ports"),
        "UDP 500 of 203.0.113.21 at pop-shanghai belongs to ga-1/ipsec already",
    ),
    (
        "ACC006",
        E,
        EARS % f"wide: {PORTS % ('udp', chr(39) + '100-5000' + chr(39))}",
        (*EAR, "ports"),
        "UDP 4500 of 203.0.113.21",
    ),
    (
        "ACC007",
        W,
        f"accelerators: {{ga-1: {{listeners: {{web: {PORTS % ('tcp', '443')}}}}}}}".replace(
            "endpoints", "traffic_mbps: 31, endpoints"
        ),
        (*GA1, "bandwidth_mbps"),
        "51 Mb/s, and 50 Mb/s are bought",
    ),
    (
        "ACC008",
        E,
        "accelerators: {ga-1: {regions: {shanghai: {address: 203.0.113.23}}}}",
        (*GA1, "regions", "shanghai", "address"),
        "pop-shanghai has no address 203.0.113.23",
    ),
    (
        "ACC008",
        E,
        "accelerators: {ga-1: {egress: {off_address: 203.0.113.21}}}",
        (*GA1, "egress", "off_address"),
        "pop-seoul has no address",
    ),
    ("ACC009", E, "relay: {key: null}", ("accelerators",), "without a key"),
    (
        "ACC010",
        E,
        "vpns: {office: {tunnels: {ga1: {headend: 198.51.100.99}}}}",
        (*OFFICE, "tunnels", "ga1", "headend"),
        "ga-1 leads to 198.51.100.11, and this tunnel's gateway is 198.51.100.99",
    ),
    (
        "ACC010",
        W,
        EARS % "ipsec: {endpoints: {second: {address: 198.51.100.12}}}",
        (*OFFICE, "tunnels", "ga1", "accelerator"),
        "over 2 gateways",
    ),
    (
        "ACC011",
        E,
        EARS % "ipsec: {endpoints: {second: {address: '2001:db8::1'}}}",
        (*EAR, "endpoints", "second", "address"),
        "2001:db8::1 is IPv6",
    ),
    (
        "ACC011",
        E,
        "accelerators: {ga-1: {egress: {off_address: '2001:db8::2'}}}",
        (*GA1, "egress"),
        "IPv6, and the accelerator's first region has IPv4",
    ),
    ("ACC011", E, "nodes: {pop-seoul: {platform: vyos}}", GA1, "pop-seoul is no Linux"),
    (
        "ACC011",
        E,
        "nodes: {pop-seoul: {interfaces: {ens3: {addresses: ['2001:db8::2/64'], gateway: null}}}}",
        GA1,
        "no family of addresses in common",
    ),
    (
        "ACC012",
        E,
        "accelerators: {ga-1: {egress: {off_address: null}}}",
        (*GA1, "egress"),
        "no address set aside",
    ),
    (
        "ACC012",
        W,
        "accelerators: {ga-1: {source_consistent: false}}",
        (*GA1, "source_consistent"),
        "ga1 goes through ga-1",
    ),
    ("ACC014", W, "vpns: {office: {tunnels: {ga1: null}}}", (*OFFICE, "tunnels"), "through ga-2"),
    (
        "ACC014",
        E,
        "vpns: {office: {tunnels: {ga2: {accelerator: ga-1}}}}",
        (*OFFICE, "tunnels", "ga2", "accelerator"),
        "ga1 and ga2 enter ga-1 by one address",
    ),
    ("ACC015", E, "vpns: {office: {start: respond}}", (*OFFICE, "start"), "no way for a call"),
    (
        "ACC017",
        W,
        "vpns: {office: {probe: {interval_ms: 100, misses: 19}}}",
        (*OFFICE, "probe"),
        "dead after 1900 ms, and the PoPs need 1000 ms",
    ),
    (
        "ACC016",
        E,
        SECOND_SITE % "accelerator: ga-1, ",
        ("vpns", "beijing", "tunnels", "bj1", "accelerator"),
        "bj1 of gw-beijing and ga1 of gw-shanghai come to 198.51.100.11 from 203.0.113.151",
    ),
    ("ACC006", E, EARS % "ipsec: {ports: [500, 4500, 500]}", (*EAR, "ports"), "twice"),
    (
        "ACC006",
        E,
        "accelerators: {ga-1: {regions: {more: {node: pop-shanghai, address: 203.0.113.21}}}}",
        (*GA1, "regions", "more"),
        "is the region shanghai already",
    ),
    *(
        ("ACC018", E, EARS % ENDPOINT % address, (*EAR, "endpoints", "tunnel-1", "address"), part)
        for address, part in (
            ("203.0.113.21", "an accelerated address of ga-1"),
            ("203.0.113.22", "an accelerated address of ga-2"),
            ("203.0.113.152", "the off address of ga-2"),
            ("127.0.0.1", "loopback"),
            ("224.0.0.1", "multicast"),
            ("169.254.1.1", "link-local"),
            ("0.0.0.0", "this network"),
        )
    ),
    (
        "ACC018",
        W,
        EARS % ENDPOINT % "10.7.7.7",
        (*EAR, "endpoints", "tunnel-1", "address"),
        "pop-seoul has no network or route",
    ),
    (
        "ACC018",
        E,
        EARS % "ipsec: {endpoints: {tunnel-1: {weight: 0}}}",
        (*EAR, "endpoints"),
        "every weight is 0",
    ),
    ("ACC019", INFO, EARS % GAME % "", (*GA1, "listeners", "game"), "at most 3 bytes"),
    ("ACC019", INFO, EARS % "ipsec: {ports: [500, 4500, 4600]}", EAR, "at most 3 bytes"),
]


def found(change: str, code: str) -> list[Finding]:
    return [item for item in check_change(change, "accelerated-vpn") if item.code == code]


@pytest.mark.parametrize(
    ("code", "severity", "change", "path", "part"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_found(
    code: str, severity: Severity, change: str, path: tuple[str | int, ...], part: str
) -> None:
    here = [(item.severity, item.path, item.message) for item in found(change, code)]
    assert any((how, at) == (severity, path) and part in message for how, at, message in here), here


QUIET: list[tuple[str, str]] = [
    # code that must not come, change
    ("ACC001", "vpns: {office: {encapsulation: true}}"),
    ("ACC001", f"{NONE_THROUGH[:-2]}, encapsulation: false}}}}"),
    ("ACC002", "vpns: {office: {ike: {version: 1}}}"),
    ("ACC002", "vpns: {office: {ike: {version: 1}, tunnels: {ga1: {id: 203.0.113.151}}}}"),
    ("ACC002", "vpns: {office: {tunnels: {ga1: {id: 192.0.2.10}}}}"),
    ("ACC003", "clouds: {seoul: {networks: [172.16.0.0/12, 10.0.0.0/8, 100.64.0.0/10]}}"),
    ("ACC003", "clouds: {seoul: {networks: [0.0.0.0/0]}}"),
    (
        "ACC003",
        "owner: {asn: 64500, prefixes: [11.2.0.0/16]}\nclouds: {seoul: {networks: [11.2.3.0/24]}}",
    ),
    ("ACC004", EARS % "ipsec: {ports: ['500-4500']}"),
    ("ACC004", f"{NONE_THROUGH}\n{EARS % 'ipsec: {ports: [443]}'}"),
    ("ACC005", EARS % "ipsec: {ports: ['1-65535']}"),
    ("ACC006", EARS % f"web: {PORTS % ('tcp', '500')}"),
    ("ACC006", EARS % f"web: {PORTS % ('udp', '501-4499')}".replace("501-4499", "'501-4499'")),
    ("ACC007", "accelerators: {ga-1: {bandwidth_mbps: 20}}"),
    ("ACC007", "accelerators: {ga-1: {bandwidth_mbps: null}}"),
    (
        "ACC008",
        "owner: {asn: 64500, prefixes: [198.18.0.0/24]}\n"
        "accelerators: {ga-1: {regions: {shanghai: {address: 198.18.0.5}}}}\n"
        "nodes: {pop-shanghai: {announce: [{prefix: 198.18.0.0/24}]}}",
    ),
    ("ACC009", "relay: {key: null, insecure: true}"),
    ("ACC009", f"{NONE_THROUGH}\nrelay: {{key: null}}\naccelerators: null"),
    ("ACC011", EARS % "ipsec: {endpoints: {named: {address: vpn.example.net}}}"),
    ("ACC014", "vpns: {office: {tunnels: {ga2: {accelerator: null}}}}"),
    ("ACC015", f"{NONE_THROUGH[:-2]}, start: respond}}}}"),
    ("ACC016", SECOND_SITE % ""),
    ("ACC017", "vpns: {office: {probe: {interval_ms: 100, misses: 20}}}"),
    (
        "ACC017",
        "vpns: {office: {probe: {interval_ms: 100, misses: 5}}}\nrelay: {mesh: {interval_ms: 50}}",
    ),
    ("ACC017", "vpns: {office: {probe: null}}"),
    ("ACC006", "accelerators: {ga-1: {regions: {more: {node: pop-seoul, address: 203.0.113.21}}}}"),
    ("ACC018", EARS % "ipsec: {endpoints: {tunnel-1: {weight: 0}, b: {address: 198.51.100.12}}}"),
    (
        "ACC018",
        "nodes: {pop-seoul: {interfaces: {ens4: {role: lan, addresses: [10.7.7.1/24]}}}}\n"
        + EARS % ENDPOINT % "10.7.7.7",
    ),
    (
        "ACC018",
        "nodes: {pop-seoul: {routes: [{to: 10.7.0.0/16, via: 203.0.113.130}]}}\n"
        + EARS % ENDPOINT % "10.7.7.7",
    ),
    ("ACC019", EARS % GAME % ", amplification: 3"),
    ("ACC019", EARS % GAME % ", amplification: unlimited"),
    ("ACC019", EARS % GAME % ", protocol: tcp"),
]


@pytest.mark.parametrize(("code", "change"), QUIET)
def test_quiet(code: str, change: str) -> None:
    assert found(change, code) == []


def test_one_place_is_told_once() -> None:
    assert len(found("vpns: {office: {encapsulation: false}}", "ACC001")) == 1
    assert len(found("relay: {key: null}", "ACC009")) == 1
    assert len(found("clouds: {seoul: {networks: [172.32.0.0/16]}}", "ACC003")) == 1
    twice = "accelerators: {ga-1: {regions: {b: {node: pop-seoul, address: 203.0.113.151}}, "
    assert len(found(f"{twice}listeners: {{ipsec: {{ports: [500, 500]}}}}}}}}", "ACC006")) == 1


def test_the_example_is_clean() -> None:
    assert "accelerators" in example("accelerated-vpn")
    assert check_change("{}", "accelerated-vpn") == []
