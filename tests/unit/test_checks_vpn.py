"""Each rule about VPN connections at its edges: what it finds, where, how bad, and what must pass."""

import re
from dataclasses import replace
from typing import Any

import pytest

from bongsu.checks import Finding, Severity, run_checks
from bongsu.checks.rules import refused_proposal
from bongsu.checks.scene import Scene
from bongsu.intent import load_text
from bongsu.plan.cloud import PROFILES
from bongsu.plan.compile import compile_network
from tests.unit.check_helpers import (
    EXAMPLES,
    check_change,
    check_values,
    example,
    found_codes,
    values_of,
)

E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741
UPLINK = ("nodes", "cpe", "interfaces", "ens3")
HUB = ("vpns", "hub")
VTI1, VTI2 = (*HUB, "tunnels", "vti1"), (*HUB, "tunnels", "vti2")

AWS = """
clouds: {seoul: {profile: aws, asn: 64513}}
vpns:
  hub:
    ike: {proposals: null, lifetime_s: null}
    esp: {proposals: null, lifetime_s: null}
    tunnels:
      vti1: {inside: 169.254.10.2/30, peer: 169.254.10.1}
      vti2: {inside: 169.254.10.6/30, peer: 169.254.10.5}
"""
GENERIC = "clouds: {seoul: {profile: generic, asn: 64513}}\n"
SECOND = """
clouds:
  tokyo: {profile: generic, asn: 64999, networks: [%s]}
vpns:
  other:
    site: cpe
    cloud: tokyo
    networks: [10.0.0.0/16]
    bgp: {}
    tunnels:
      tun1: {headend: 203.0.113.9, inside: 10.20.0.1/30, psk: 'env:OTHER', %s}
"""
IPV6 = """
nodes:
  cpe: {interfaces: {ens3: {addresses: [10.0.236.153/16, '2001:db8::2/64'], gateway6: '2001:db8::1'}}}
"""
TAKEOVER = "vpns: {hub: {bgp: {deaggregate_on_failure: %d}, %s}}"
PROBE = "probe: {interval_ms: 200, misses: 3}"
PARTS = (*HUB, "bgp", "deaggregate_on_failure")
CERTIFICATE = """
vpns:
  hub:
    certificate: {certificate: /etc/a.pem, key: 'file:/etc/a.key', ca: /etc/ca.pem}
    tunnels: {vti1: {psk: null, id: a.example, peer_id: b.example}, vti2: {psk: null, id: a.example}}
"""

CASES: list[tuple[str, Severity, str, tuple[str | int, ...], str]] = [
    # code, severity, change, path, a part of the message
    ("VPN001", E, "vpns: {hub: {tunnels: {vti2: {mark: 5}}}}", (*VTI2, "mark"), "vti1 and vti2"),
    (
        "VPN001",
        E,
        SECOND % ("192.168.7.0/24", "mark: 6"),
        ("vpns", "other", "tunnels", "tun1", "mark"),
        "vti2 and tun1",
    ),
    ("VPN002", E, "nodes: {cpe: {interfaces: {ens3: {public: null}}}}", UPLINK, "call itself"),
    (
        "VPN002",
        E,
        "nodes: {cpe: {interfaces: {ens3: {public: 100.64.0.9}}}}",
        (*UPLINK, "public"),
        "carrier-grade NAT",
    ),
    (
        "VPN002",
        E,
        "vpns: {hub: {tunnels: {vti1: {id: 10.0.236.153}}}}",
        (*VTI1, "id"),
        "behind the NAT",
    ),
    (
        "VPN003",
        E,
        "vpns: {hub: {binding: policy, selectors: any, bgp: null}}",
        (*HUB, "selectors"),
        "all that goes to 0.0.0.0/0",
    ),
    (
        "VPN003",
        E,
        "clouds: {seoul: {networks: [128.0.0.0/1]}}\nvpns: {hub: {binding: policy, bgp: null}}",
        ("clouds", "seoul", "networks"),
        "128.0.0.0/1",
    ),
    ("VPN004", E, "vpns: {hub: {vti_routing: true}}", (*HUB, "vti_routing"), "off the net"),
    (
        "VPN004",
        W,
        "vpns: {hub: {vti_routing: true, binding: xfrm}}",
        (*HUB, "vti_routing"),
        "binding is xfrm",
    ),
    (
        "VPN004",
        W,
        "nodes: {cpe: {ipsec: strongswan}}\nvpns: {hub: {vti_routing: true}}",
        (*HUB, "vti_routing"),
        "runs strongSwan",
    ),
    (
        "VPN005",
        E,
        "vpns: {hub: {ike: {proposals: [aes256-sha384-modp4096]}}}",
        (*HUB, "ike", "proposals", 0),
        "does not take modp4096",
    ),
    (
        "VPN005",
        E,
        "vpns: {hub: {ike: {proposals: [aes256gcm16-prfsha384-ecp384]}}}",
        (*HUB, "ike", "proposals", 0),
        "NO_PROPOSAL_CHOSEN",
    ),
    (
        "VPN005",
        I,
        "vpns: {hub: {esp: {proposals: [aes256gcm16-ecp384, aes256-sha512-ecp384]}}}",
        (*HUB, "esp", "proposals", 1),
        "never chosen",
    ),
    (
        "VPN005",
        W,
        AWS.replace(
            "esp: {proposals: null, lifetime_s: null}", "esp: {proposals: null, lifetime_s: 7200}"
        ),
        (*HUB, "esp", "lifetime_s"),
        "900 to 3600 s, and this is 7200",
    ),
    ("VPN006", W, "vpns: {hub: {weak: [modp1536]}}", (*HUB, "ike", "version"), "RFC 9395"),
    (
        "VPN006",
        W,
        "vpns: {hub: {weak: [ikev1]}}",
        (*HUB, "ike", "proposals", 0),
        "modp1536 is below",
    ),
    (
        "VPN006",
        W,
        "vpns: {hub: {esp: {proposals: [aes256-sha1-ecp384]}}}",
        (*HUB, "esp", "proposals", 0),
        "sha1",
    ),
    (
        "VPN006",
        E,
        GENERIC + "vpns: {hub: {esp: {proposals: [null-sha256]}}}",
        (*HUB, "esp", "proposals", 0),
        "does not encrypt at all",
    ),
    (
        "VPN006",
        E,
        GENERIC + "vpns: {hub: {esp: {proposals: [des-sha256]}}}",
        (*HUB, "esp", "proposals", 0),
        "56 bits",
    ),
    (
        "VPN006",
        W,
        GENERIC + "vpns: {hub: {ike: {proposals: [3des-md5-modp768]}}}",
        (*HUB, "ike", "proposals", 0),
        "md5 is broken",
    ),
    (
        "VPN007",
        E,
        AWS.replace("169.254.10.2/30, peer: 169.254.10.1", "10.9.9.2/30, peer: 10.9.9.1"),
        (*VTI1, "inside"),
        "169.254.0.0/16 only",
    ),
    (
        "VPN007",
        E,
        AWS.replace("169.254.10.2/30", "169.254.10.2/29"),
        (*VTI1, "inside"),
        "this is /29",
    ),
    (
        "VPN007",
        E,
        AWS.replace("169.254.10.2/30, peer: 169.254.10.1", "169.254.0.2/30, peer: 169.254.0.1"),
        (*VTI1, "inside"),
        "for itself",
    ),
    (
        "VPN007",
        E,
        AWS.replace("169.254.10.2/30, peer: 169.254.10.1", "169.254.10.1/30, peer: 169.254.10.2"),
        (*VTI1, "inside"),
        "takes 169.254.10.1 itself",
    ),
    ("VPN008", W, "vpns: {hub: {dpd: false}}", (*HUB, "dpd"), "up to 3600 s"),
    (
        "VPN008",
        W,
        "vpns: {hub: {dpd: {delay_s: 10, timeout_s: 19}}}",
        (*HUB, "dpd", "timeout_s"),
        "one packet",
    ),
    ("VPN008", W, "vpns: {hub: {dpd: {action: clear}}}", (*HUB, "dpd", "action"), "raises it"),
    (
        "VPN008",
        W,
        "vpns: {hub: {tunnels: {vti2: null}}}",
        (*HUB, "bgp", "hold_s"),
        "BGP gives up after 18 s, and DPD mends the tunnel after 30 s only",
    ),
    (
        "VPN008",
        W,
        "vpns: {hub: {dpd: {delay_s: 18, timeout_s: 60}}}",
        (*HUB, "bgp", "hold_s"),
        "does not even ask for 18 s",
    ),
    (
        "VPN009",
        W,
        SECOND.replace("env:OTHER", "env:OCI_PSK_2") % ("192.168.7.0/24", "mark: 9"),
        ("vpns", "other", "tunnels", "tun1", "psk"),
        "vti2 of cpe and tun1 of cpe",
    ),
    ("VPN011", W, "vpns: {hub: {tunnels: {vti2: null}}}", (*HUB, "tunnels"), "2 tunnels"),
    ("VPN012", E, "vpns: {hub: {encapsulation: false}}", (*HUB, "encapsulation"), "no ports"),
    (
        "VPN013",
        W,
        "vpns: {hub: {ike: {lifetime_s: 3599}}}",
        (*HUB, "ike", "lifetime_s"),
        "3599 s and ESP's keys 3600",
    ),
    (
        "VPN013",
        W,
        "vpns: {hub: {ike: {lifetime_s: null}, esp: {lifetime_s: 28801}}}",
        (*HUB, "esp", "lifetime_s"),
        "28801",
    ),
    (
        "VPN014",
        W,
        "nodes: {cpe: {interfaces: {ens3: {allows: [udp/4500]}}}}",
        (*UPLINK, "allows"),
        "no udp/500: the tunnels live as long as",
    ),
    (
        "VPN014",
        E,
        "nodes: {cpe: {interfaces: {ens3: {allows: []}}}}\nvpns: {hub: {start: respond}}",
        (*UPLINK, "allows"),
        "no udp/500 and udp/4500: no tunnel",
    ),
    (
        "VPN014",
        E,
        "nodes: {cpe: {interfaces: {ens3: {addresses: [203.0.113.2/24], gateway: 203.0.113.1, "
        "public: null}}}}\nvpns: {hub: {encapsulation: null}}",
        (*UPLINK, "allows"),
        "no esp: no tunnel comes up",
    ),
    (
        "VPN015",
        E,
        "nodes: {cpe: {interfaces: {ens3: {source_dest_check: true}}}}",
        (*UPLINK, "source_dest_check"),
        "neither from nor to cpe",
    ),
    (
        "VPN015",
        I,
        "nodes: {cpe: {interfaces: {ens3: {source_dest_check: null}}}}",
        UPLINK,
        "unless they are told",
    ),
    (
        "VPN015",
        E,
        "nodes: {cpe: {interfaces: {ens4: {role: lan, addresses: [10.5.0.1/16], "
        "source_dest_check: true}}}}\nvpns: {hub: {networks: [10.5.0.0/16], bgp: {announce: null}}}",
        ("nodes", "cpe", "interfaces", "ens4", "source_dest_check"),
        "what passes ens4",
    ),
    (
        "VPN016",
        E,
        "nodes: {cpe: {forwarding: false}}",
        ("nodes", "cpe", "forwarding"),
        "10.0.0.0/16 behind it",
    ),
    ("VPN017", E, "vpns: {hub: {rpf: strict}}", (*HUB, "rpf"), "half of the sessions"),
    (
        "VPN017",
        W,
        "vpns: {hub: {rpf: strict, binding: policy, bgp: null}}",
        (*HUB, "rpf"),
        "no effect",
    ),
    (
        "VPN018",
        E,
        "vpns: {hub: {tunnels: {vti1: {headend: '2001:db8::9'}}}}",
        (*VTI1, "headend"),
        "no address of that family",
    ),
    (
        "VPN018",
        E,
        "vpns: {hub: {tunnels: {vti1: {headend: 144.24.84.145}}}}",
        (*VTI1, "headend"),
        "own address",
    ),
    (
        "VPN018",
        E,
        "vpns: {hub: {tunnels: {vti2: {headend: 193.122.99.212}}}}",
        (*VTI2, "headend"),
        "end each other",
    ),
    ("VPN019", E, "vpns: {hub: {bgp: null}}", HUB, "to reach 172.16.0.0/24"),
    ("VPN019", E, "vpns: {hub: {networks: null, bgp: {announce: null}}}", HUB, "no LAN"),
    ("VPN019", E, "vpns: {hub: {binding: policy}}", (*HUB, "bgp"), "binding is policy"),
    (
        "VPN019",
        E,
        "vpns: {hub: {binding: policy, bgp: null, static: true}}",
        (*HUB, "static"),
        "binding is policy",
    ),
    (
        "VPN019",
        E,
        "clouds: {seoul: {networks: ['fd00:9::/48']}}",
        HUB,
        "no family that both sides speak",
    ),
    ("LSW001", E, "vpns: {hub: {binding: xfrm}}", VTI1, "ipsecN"),
    ("VPN020", I, CERTIFICATE, VTI2, "`peer_id` is 146.56.44.93"),
    (
        "VPN022",
        W,
        "vpns: {hub: {networks: [10.0.0.0/16, 10.9.0.0/24], bgp: {announce: null}}}",
        (*HUB, "networks", 1),
        "no interface in 10.9.0.0/24",
    ),
    ("VPN021", E, TAKEOVER % (16, PROBE), PARTS, "no more specific than 10.0.0.0/16"),
    ("VPN021", E, TAKEOVER % (25, PROBE), PARTS, "more routes than are ever announced"),
    ("VPN021", W, TAKEOVER % (24, PROBE), PARTS, "256 more-specifics at once"),
    ("VPN021", W, TAKEOVER % (17, ""), PARTS, "nothing notices a silent tunnel"),
    ("VPN021", W, TAKEOVER % (17, "tunnels: {vti2: null}, " + PROBE), PARTS, "no other tunnel"),
    (
        "VPN021",
        W,
        "nodes: {cpe: {platform: vyos}}\n" + TAKEOVER % (17, PROBE),
        PARTS,
        "no Linux node",
    ),
    (
        "ADR001",
        E,
        "vpns: {hub: {tunnels: {vti2: {inside: 10.10.10.1/30, peer: 10.10.10.2}}}}",
        (*VTI2, "inside"),
        "vti1 at cpe",
    ),
    (
        "ADR002",
        E,
        "vpns: {hub: {tunnels: {vti1: {inside: 10.10.10.1/29}}}}",
        (*VTI2, "inside"),
        "10.10.10.0/29 of vti1",
    ),
    (
        "ADR002",
        E,
        "vpns: {hub: {tunnels: {vti1: {inside: 10.0.99.1/30, peer: 10.0.99.2}}}}",
        (*VTI1, "inside"),
        "10.0.0.0/16 of ens3",
    ),
    (
        "ADR004",
        E,
        "vpns: {hub: {tunnels: {vti1: {peer: 10.10.10.6}}}}",
        (*VTI1, "peer"),
        "not in 10.10.10.0/30",
    ),
    (
        "ADR004",
        E,
        "vpns: {hub: {tunnels: {vti1: {peer: 10.10.10.3}}}}",
        (*VTI1, "peer"),
        "first or last",
    ),
    (
        "ADR004",
        E,
        "vpns: {hub: {tunnels: {vti1: {inside: 10.10.10.0/30}}}}",
        (*VTI1, "inside"),
        "first or last",
    ),
    (
        "ADR004",
        E,
        "vpns: {hub: {tunnels: {vti1: {inside: 10.10.10.1/32, peer: null}}}}",
        (*VTI1, "inside"),
        "no other host",
    ),
    (
        "ADR005",
        E,
        "vpns: {hub: {tunnels: {vti1: {headend: 10.77.0.1}}}}",
        (*VTI1, "headend"),
        "private (RFC 1918)",
    ),
    (
        "ADR006",
        W,
        "vpns: {hub: {tunnels: {vti1: {inside: 1.1.1.1/30, peer: 1.1.1.2}}}}",
        (*VTI1, "inside"),
        "not the owner's",
    ),
    (
        "ADR009",
        E,
        "clouds: {seoul: {networks: [172.16.0.0/24, 10.0.5.0/24]}}",
        ("clouds", "seoul", "networks", 1),
        "10.0.5.0/24 of seoul overlaps 10.0.0.0/16 of cpe",
    ),
    (
        "ADR009",
        E,
        SECOND % ("172.16.0.0/16", "mark: 9"),
        ("clouds", "seoul", "networks", 0),
        "172.16.0.0/24 of seoul overlaps 172.16.0.0/16 of tokyo",
    ),
    (
        "BFD001",
        W,
        GENERIC + "vpns: {hub: {bgp: {bfd: {interval_ms: 5}}}}",
        (*HUB, "bgp", "bfd", "interval_ms"),
        "every 5 ms",
    ),
    ("BFD003", W, "vpns: {hub: {bgp: {bfd: {}}}}", (*HUB, "bgp", "bfd"), "offers no BFD"),
    (
        "BGP005",
        E,
        "vpns: {hub: {bgp: {keepalive_s: 18}}}",
        (*HUB, "bgp", "keepalive_s"),
        "comes after",
    ),
    (
        "BGP005",
        W,
        "vpns: {hub: {bgp: {keepalive_s: 7}}}",
        (*HUB, "bgp", "keepalive_s"),
        "less than three",
    ),
    (
        "BGP005",
        W,
        "vpns: {hub: {bgp: {keepalive_s: 1, hold_s: 3}, dpd: {delay_s: 1, timeout_s: 2}}}",
        (*HUB, "bgp", "hold_s"),
        "busy",
    ),
    ("BGP005", W, "vpns: {hub: {bgp: {hold_s: 181}}}", (*HUB, "bgp", "hold_s"), "for 181 s"),
    (
        "BGP007",
        E,
        "nodes: {cpe: {bgp: {asn: 31898}}}",
        ("nodes", "cpe", "bgp", "asn"),
        "both AS31898",
    ),
    (
        "BGP007",
        E,
        AWS.replace(", asn: 64513", "") + "nodes: {cpe: {bgp: {asn: null}}}",
        ("nodes", "cpe"),
        "both AS64512",
    ),
    (
        "BGP007",
        E,
        "clouds: {seoul: {profile: generic}}",
        ("clouds", "seoul"),
        "nobody knows the AS number of seoul",
    ),
    (
        "BGP007",
        W,
        "clouds: {seoul: {asn: 14544}}",
        ("clouds", "seoul", "asn"),
        "AS31898 in all but a few regions",
    ),
    ("BGP011", W, "vpns: {hub: {bgp: {accept: any}}}", (*HUB, "bgp", "accept"), "whatever"),
    (
        "BGP011",
        E,
        "vpns: {hub: {bgp: {max_prefixes: 1}}}",
        (*HUB, "bgp", "max_prefixes"),
        "has 2 networks",
    ),
    ("BGP012", E, "vpns: {hub: {bgp: {announce: []}}}", (*HUB, "bgp", "announce"), "no way back"),
    (
        "BGP012",
        W,
        "vpns: {hub: {bgp: {announce: [0.0.0.0/0]}}}",
        (*HUB, "bgp", "announce", 0),
        "default route",
    ),
    (
        "BGP012",
        W,
        "vpns: {hub: {bgp: {announce: [10.0.0.0/15]}}}",
        (*HUB, "bgp", "announce", 0),
        "more than cpe has",
    ),
    (
        "BGP012",
        E,
        "vpns: {hub: {bgp: {announce: [10.0.0.0/16, 192.168.9.0/24]}}}",
        (*HUB, "bgp", "announce", 1),
        "none of cpe's networks",
    ),
    (
        "BGP012",
        W,
        "vpns: {hub: {bgp: {accept: [0.0.0.0/0]}}}",
        (*HUB, "bgp", "accept", 0),
        "default route is taken",
    ),
    (
        "BGP012",
        W,
        "vpns: {hub: {bgp: {accept: [172.16.0.0/16, 192.168.9.0/24]}}}",
        (*HUB, "bgp", "accept", 1),
        "none of the cloud's",
    ),
    (
        "FRR001",
        E,
        "nodes: {cpe: {bgp: {neighbors: {isp: {asn: 64510, address: 10.0.0.1}}}}}",
        ("nodes", "cpe", "bgp", "neighbors"),
        "sessions inside IPsec tunnels only",
    ),
    ("MTU001", E, "vpns: {hub: {mtu: 1439}}", (*HUB, "mtu"), "into the 1500 of the way"),
    (
        "MTU002",
        E,
        "vpns: {hub: {mtu: 1279, networks: [10.0.0.0/16, 'fd00:1::/48']}}",
        (*HUB, "mtu"),
        "less than IPv6's 1280",
    ),
    (
        "MTU002",
        E,
        "nodes: {cpe: {interfaces: {ens3: {mtu: 620}}}}",
        VTI1,
        "less than IPv4's 576",
    ),
    (
        "PFS001",
        E,
        "nodes: {cpe: {platform: pfsense}}",
        HUB,
        "no VPN is rendered for a pfSense",
    ),
    (
        "RTE003",
        E,
        "vpns: {hub: {bgp: {accept: [193.122.0.0/16]}}}",
        (*VTI1, "headend"),
        "193.122.99.212 is in 193.122.0.0/16",
    ),
    (
        "RTE003",
        E,
        "clouds: {seoul: {networks: [146.56.0.0/16]}}\nvpns: {hub: {bgp: null, static: true}}",
        (*VTI2, "headend"),
        "146.56.44.93 is in",
    ),
    (
        "RTE006",
        E,
        "nodes: {cpe: {interfaces: {ens3: {gateway: null}}}}",
        UPLINK,
        "193.122.99.212 (the headend of vti1) and 1 more",
    ),
]


def found(change: str, code: str) -> list[Finding]:
    return [finding for finding in check_change(change, "hybrid-vpn") if finding.code == code]


@pytest.mark.parametrize(
    ("code", "severity", "change", "path", "part"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_found(
    code: str, severity: Severity, change: str, path: tuple[str | int, ...], part: str
) -> None:
    here = [(f.severity, f.path, f.message) for f in found(change, code)]
    assert any((how, at) == (severity, path) and part in message for how, at, message in here), here


QUIET: list[tuple[str, str]] = [
    # code that must not come, change
    ("VPN001", "vpns: {hub: {tunnels: {vti1: {mark: null}, vti2: {mark: null}}}}"),
    ("VPN001", "vpns: {hub: {binding: policy, bgp: null, tunnels: {vti2: {mark: 5}}}}"),
    (
        "VPN002",
        "nodes: {cpe: {interfaces: {ens3: {public: null}}}}\n"
        "vpns: {hub: {tunnels: {vti1: {id: cpe.example}, vti2: {id: cpe.example}}}}",
    ),
    (
        "VPN002",
        "nodes: {cpe: {interfaces: {ens3: {public: null}}}}\n"
        "vpns: {hub: {tunnels: {vti1: {headend: 10.9.0.1}, vti2: {headend: 10.9.0.2}}}}",
    ),
    ("VPN003", "vpns: {hub: {selectors: any}}"),
    ("VPN003", "vpns: {hub: {binding: policy, bgp: null}}"),
    ("VPN004", "vpns: {hub: {vti_routing: true, selectors: networks, bgp: null}}"),
    ("VPN005", GENERIC + "vpns: {hub: {ike: {proposals: [aes128ctr-sha512-modp8192]}}}"),
    ("VPN005", "vpns: {hub: {ike: {lifetime_s: 604800}}}"),  # Oracle publishes no bounds
    ("VPN006", AWS + "    weak: [ikev1]\n"),
    ("VPN007", AWS),
    ("VPN008", "vpns: {hub: {dpd: {action: clear}, start: respond}}"),
    ("VPN008", "vpns: {hub: {tunnels: {vti2: null}, dpd: {delay_s: 5, timeout_s: 15}}}"),
    # what both are where the file says nothing
    ("VPN008", "vpns: {hub: {tunnels: {vti2: null}, bgp: {keepalive_s: 10, hold_s: 30}}}"),
    ("VPN008", "vpns: {hub: {dpd: {delay_s: 17, timeout_s: 51}}}"),
    ("VPN011", GENERIC + "vpns: {hub: {tunnels: {vti2: null}}}"),
    ("VPN012", "vpns: {hub: {encapsulation: null}}"),
    ("VPN013", "vpns: {hub: {ike: {lifetime_s: 3600}}}"),
    ("VPN014", "nodes: {cpe: {interfaces: {ens3: {allows: null}}}}"),
    (
        "VPN014",
        "nodes: {cpe: {interfaces: {ens3: {addresses: [203.0.113.2/24], gateway: 203.0.113.1, "
        "public: null, allows: [esp, udp/500]}}}}\nvpns: {hub: {encapsulation: null}}",
    ),
    # A check on the uplink does not stop what another interface carries.
    (
        "VPN015",
        "nodes: {cpe: {interfaces: {ens3: {source_dest_check: true}, ens4: {role: lan, "
        "addresses: [10.5.0.1/16]}}}}\nvpns: {hub: {networks: [10.5.0.0/16], bgp: {announce: null}}}",
    ),
    (
        "VPN016",
        "nodes: {cpe: {forwarding: false}}\n"
        "vpns: {hub: {networks: [10.0.236.153/32], bgp: {announce: null}}}",
    ),
    ("VPN017", "vpns: {hub: {rpf: strict, tunnels: {vti2: null}}}"),
    ("VPN017", "vpns: {hub: {rpf: loose}}"),
    ("VPN018", IPV6 + "vpns: {hub: {tunnels: {vti1: {headend: '2001:db8:9::9'}}}}"),
    ("VPN019", "vpns: {hub: {bgp: null, vti_routing: true, selectors: networks}}"),
    ("VPN020", CERTIFICATE.replace("vti2: {psk: null", "vti2: {psk: null, peer_id: c.example")),
    ("VPN021", TAKEOVER % (22, PROBE)),
    ("VPN022", "vpns: {hub: {networks: [10.0.236.0/24, 0.0.0.0/0], bgp: {announce: null}}}"),
    (
        "VPN022",
        "nodes: {cpe: {routes: [{to: 10.9.0.0/25, via: 10.0.0.9}]}}\n"
        "vpns: {hub: {networks: [10.9.0.0/24], bgp: {announce: null}}}",
    ),
    ("VPN021", "vpns: {hub: {bgp: null, static: true}}"),
    ("ADR002", "vpns: {hub: {binding: policy, bgp: null, tunnels: {vti1: {inside: 10.0.1.1/30}}}}"),
    ("ADR009", "clouds: {seoul: {networks: [0.0.0.0/0]}}"),
    ("ADR009", SECOND % ("172.17.0.0/16", "mark: 9")),
    ("BGP005", "vpns: {hub: {bgp: {hold_s: 181}, probe: {}}}"),
    ("BGP007", "nodes: {cpe: {bgp: {asn: 64999}}}"),
    ("BGP007", "clouds: {seoul: {profile: generic}}\nvpns: {hub: {bgp: null, static: true}}"),
    ("BGP012", "vpns: {hub: {bgp: {announce: [10.0.5.0/24], accept: [172.16.0.0/16]}}}"),
    (
        "RTE003",
        "nodes: {cpe: {routes: [{to: 193.122.99.212/32, via: 10.0.0.1}]}}\n"
        "vpns: {hub: {bgp: {accept: [193.122.0.0/16]}}}",
    ),
    (
        "RTE003",
        "vpns: {hub: {binding: policy, bgp: {accept: [193.122.0.0/16]}}}",
    ),
    (
        "ADR004",
        "vpns: {hub: {binding: policy, bgp: null, tunnels: {vti1: {inside: null, peer: null}}}}",
    ),
    ("MTU001", "vpns: {hub: {mtu: 1438}}"),
    ("LNX001", ""),
    ("LSW001", "nodes: {cpe: {ipsec: null}}\nvpns: {hub: {binding: xfrm}}"),
]


@pytest.mark.parametrize(
    ("code", "change"), QUIET, ids=[f"{case[0]}-{number}" for number, case in enumerate(QUIET)]
)
def test_quiet(code: str, change: str) -> None:
    assert found(change or "{}", code) == []


def test_the_example_is_clean() -> None:
    assert check_values(example("hybrid-vpn")) == []


def test_the_file_in_the_documents_is_clean() -> None:
    page = (EXAMPLES.parent / "docs" / "network-file.md").read_text()
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if "vpns:" in text]
    assert check_values(values_of("version: 1\nname: documents\n" + block)) == []


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("VPN002", "nodes: {cpe: {interfaces: {ens3: {public: null}}}}"),
        ("VPN014", "nodes: {cpe: {interfaces: {ens3: {allows: []}}}}"),
        ("VPN015", "nodes: {cpe: {interfaces: {ens3: {source_dest_check: true}}}}"),
        ("RTE006", "nodes: {cpe: {interfaces: {ens3: {gateway: null}}}}"),
        ("BGP007", "clouds: {seoul: {profile: generic}}"),
        ("MTU002", "vpns: {hub: {mtu: 1279, networks: [10.0.0.0/16, 'fd00:1::/48']}}"),
    ],
)
def test_what_is_wrong_at_one_place_is_told_once(code: str, change: str) -> None:
    assert len(found(change, code)) == 1


def test_a_small_uplink_is_told_of_each_tunnel() -> None:
    small = found("nodes: {cpe: {interfaces: {ens3: {mtu: 620}}}}", "MTU002")
    assert [finding.path for finding in small] == [VTI1, VTI2]


def test_a_session_without_a_bound() -> None:
    values = example("hybrid-vpn")
    values["vpns"]["hub"]["bgp"]["max_prefixes"] = None
    (finding,) = check_values(values)
    assert (finding.code, finding.path[-1]) == ("BGP011", "max_prefixes")
    assert "without a bound" in finding.message


def test_two_headends_by_two_uplinks_are_two_tunnels() -> None:
    change = """
        nodes: {cpe: {interfaces: {ens9: {role: uplink, addresses: [203.0.113.2/24]}}}}
        vpns: {spare: {site: cpe, cloud: seoul, interface: ens9, networks: [10.0.0.0/16],
          bgp: {}, tunnels: {vti3: {headend: 193.122.99.212, inside: 10.10.10.9/30, psk: 'env:C'}}}}
        """
    assert "VPN018" not in found_codes(change, "hybrid-vpn")


def test_networks_of_two_sites_of_a_cloud_overlap_unless_they_are_one_site() -> None:
    other = """
        nodes: {branch: {role: router, bgp: {asn: 65001, router_id: 10.10.10.9}, interfaces: {wan: {
          role: uplink, addresses: [203.0.113.2/24], gateway: 203.0.113.1}}}}
        vpns: {branch: {site: branch, cloud: seoul, networks: [%s], bgp: {}, tunnels: {
          vti1: {headend: 193.122.99.212, inside: 10.10.11.1/30, psk: 'env:C'},
          vti2: {headend: 146.56.44.93, inside: 10.10.11.5/30, psk: 'env:D'}}}}
        """
    (finding,) = found(other % "10.0.5.0/24", "ADR009")
    assert "in the cloud seoul" in finding.message
    assert found(other % "10.0.0.0/16", "ADR009") == []


def test_router_ids_of_two_sites_are_compared_by_nobody_but_each_has_one() -> None:
    change = """
        nodes: {cpe: {bgp: {router_id: null}}, branch: {role: router, bgp: {asn: 65001}, interfaces: {
          wan: {role: uplink, addresses: [%s], public: 203.0.113.2, source_dest_check: false}}}}
        vpns: {branch: {site: branch, cloud: seoul, networks: [10.7.0.0/24], bgp: {}, tunnels: {
          vti1: {headend: %s, inside: %s, psk: 'env:C'}}}}
        """
    same = change % ("10.0.236.153/24", "193.122.99.212", "10.10.11.1/30")
    assert found(same, "BGP006") == []
    six = change % ("'2001:db8::2/64'", "'2001:db8:9::9'", "'fd00::1/127'")
    (finding,) = found(six, "BGP006")
    assert "no usable router id" in finding.message


def test_a_weak_key_of_the_lab_is_told_and_never_shown() -> None:
    text = (EXAMPLES / "hybrid-vpn.yaml").read_text()
    weak = text.replace("labonlyJh3mgdB3LH2LUtgt2EvOTpy6AF", "Seoul2024")
    assert weak != text
    network = load_text(weak, "f").network
    (finding,) = [f for f in _all(network) if f.code == "VPN010"]
    assert finding.severity is Severity.WARNING
    assert finding.path == ("lab", "secrets", "OCI_PSK_1")
    assert "Seoul2024" not in f"{finding}"
    hyphen = text.replace("labonlyJh3m", "labonly-Jh3m")
    (finding,) = [f for f in _all(load_text(hyphen, "f").network) if f.code == "VPN010"]
    assert "Oracle Cloud Infrastructure does not take it" in finding.message


def test_an_ike_version_that_a_cloud_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile of today refuses a version, so one that does is made up."""
    network = load_text((EXAMPLES / "hybrid-vpn.yaml").read_text(), "f").network
    profile = PROFILES[network.clouds["seoul"].profile]
    monkeypatch.setitem(
        PROFILES, network.clouds["seoul"].profile, _changed(profile, ike_versions=frozenset({2}))
    )
    scene = Scene(network, compile_network(network))
    (finding,) = [f for f in refused_proposal.check(scene) if "version" in f.path]
    assert finding.severity is Severity.ERROR
    assert finding.hint == "IKEv2"


def test_ikev1_is_no_warning_where_there_is_nothing_better(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_text((EXAMPLES / "hybrid-vpn.yaml").read_text(), "f").network
    profile = PROFILES[network.clouds["seoul"].profile]
    monkeypatch.setitem(
        PROFILES, network.clouds["seoul"].profile, _changed(profile, ike_versions=frozenset({1}))
    )
    bare = network.vpns["hub"].model_copy(update={"weak": ["modp1536"]})
    network = network.model_copy(update={"vpns": {"hub": bare}})
    (finding,) = [f for f in _all(network) if f.code == "VPN006"]
    assert finding.severity is Severity.INFO


def _all(network: Any) -> list[Finding]:
    return run_checks(network, compile_network(network))


def _changed(profile: Any, **change: Any) -> Any:
    return replace(profile, **change)
