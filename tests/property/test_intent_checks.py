"""Whatever loads can be compiled and checked: no check falls over a network that it should judge."""

import json
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.checks import codes, run_checks
from bongsu.intent import IntentError, load_text
from bongsu.intent.document import read_document
from bongsu.plan.compile import compile_network

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
TEXTS = []
for example in EXAMPLES:
    values = read_document(example.read_text(), example.name).root
    values.pop("lab", None)
    values.pop("tests", None)
    TEXTS.append(json.dumps(values))

FULL = """
version: 1
name: full
nodes:
  cpe:
    role: router
    routing: frr
    ipsec: libreswan
    forwarding: true
    interfaces:
      ens3:
        role: uplink
        addresses: [10.0.0.2/24, "2001:db8::2/64"]
        gateway: 10.0.0.1
        gateway6: "2001:db8::1"
        public: 192.0.2.9
        mtu: 1500
        source_dest_check: false
        allows: [udp/500, udp/4500, esp]
      ens4: {role: lan, addresses: [10.5.0.1/24]}
    bgp: {asn: 65000}
    routes: [{to: 192.168.0.0/16, via: 10.0.0.1}]
clouds:
  one: {profile: oci, networks: [172.16.0.0/24], asn: 31898}
  two: {profile: generic, networks: ["fd00:9::/48", 172.17.0.0/16], asn: 64999}
vpns:
  first:
    site: cpe
    cloud: one
    networks: [10.5.0.0/24]
    interface: ens3
    ike: {version: 1, proposals: [aes256-sha384-modp1536], lifetime_s: 3600}
    esp: {proposals: [aes256gcm16-modp1536], lifetime_s: 3600}
    dpd: {delay_s: 9, timeout_s: 24}
    binding: vti
    selectors: any
    vti_routing: false
    encapsulation: true
    start: initiate
    mtu: 1280
    tunnels:
      a1: {headend: 203.0.113.10, inside: 10.99.1.1/30, peer: 10.99.1.2, psk: "env:A", mark: 3}
      a2: {headend: 192.0.2.10, inside: 10.99.1.9/30, peer: 10.99.1.10, psk: "env:B", mark: 9}
    bgp: {keepalive_s: 3, hold_s: 9, multihop: 255, announce: [10.5.0.0/24], accept: [172.16.0.0/24],
      max_prefixes: 10, bfd: {interval_ms: 300}}
  second:
    site: cpe
    cloud: two
    binding: xfrm
    static: true
    tunnels:
      b1: {headend: "2001:db8::1", inside: "fd00::1/127", psk: "env:C", id: cpe.example}
"""
TEXTS.append(json.dumps(read_document(FULL, "full").root))

ADDRESSES = [
    "10.99.1.1",
    "10.99.1.2",
    "10.99.1.255",
    "103.178.34.1",
    "103.178.35.9",
    "203.0.113.10",
    "192.0.2.10",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "2001:db8::1",
    "2001:db8:1::",
    "fd00::1",
    "fe80::1",
    "::",
]
LENGTHS = [0, 1, 8, 16, 22, 23, 24, 25, 30, 31, 32, 48, 64, 127, 128]


def prefix(address: str, length: int) -> str:
    most = 128 if ":" in address else 32
    return str(ip_interface(f"{address}/{min(length, most)}").network)


addresses = st.sampled_from(ADDRESSES)
interfaces = st.builds("{}/{}".format, addresses, st.sampled_from(LENGTHS))
prefixes = st.builds(prefix, addresses, st.sampled_from(LENGTHS))
numbers = st.sampled_from([1, 3, 9, 10, 24, 48, 64, 255, 576, 1280, 1500, 64512, 4294967294])
WORDS = [
    ("pop", "home"),
    ("linux", "pfsense"),
    ("owned", "all"),
    ("uplink", "lan"),
    ("vti", "xfrm", "policy"),
    ("oci", "aws", "alibaba", "generic"),
    ("bird", "frr"),
    ("libreswan", "strongswan"),
    ("any", "networks"),
    ("initiate", "respond", "on-demand"),
    ("aes256-sha384-modp1536", "aes256-sha256-ecp256", "3des-md5-modp768"),
    ("aes256gcm16-modp1536", "null-sha1", "aes128-sha256-ecp256"),
]
PREFIXED = {"prefix", "prefixes", "networks", "accept", "announce", "to", "from"}
"""Keys under which networks stand, and not addresses with a length."""


def alike(path: tuple[str | int, ...], value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind as what stands there, so that most of the networks load."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return numbers
    if isinstance(value, list):
        return st.lists(alike(path, value[0]), max_size=3) if value else st.just(value)
    if isinstance(value, str):
        if "/" in value:
            return prefixes if PREFIXED & set(map(str, path)) else interfaces
        if value[0].isdigit():
            return addresses
        return st.sampled_from(next((group for group in WORDS if value in group), (value,)))
    return st.just(value)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = [path] if path else []
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def networks(draw: st.DrawFn) -> str:
    root = json.loads(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(root)))
        inner = root
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = draw(alike(path, inner[path[-1]]))
    return json.dumps(root)


@settings(max_examples=400, deadline=None)
@given(networks())
def test_what_loads_is_judged(text: str) -> None:
    try:
        loaded = load_text(text, "f")
    except IntentError:
        return
    for finding in run_checks(loaded.network, compile_network(loaded.network)):
        assert finding.code in codes()
        assert loaded.locate(finding.path).line == 1
        assert finding.message


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_findings_do_not_depend_on_the_order_of_the_file(path: Path) -> None:
    values = read_document(path.read_text(), path.name).root
    values.setdefault("owner", {"prefixes": ["103.178.34.0/23"]})["asn"] = 64512
    for part in ("nodes", "tunnels", "clouds", "vpns"):
        values[part] = dict(reversed(values.get(part, {}).items()))
    network = load_text(json.dumps(values), "f").network
    assert {item.code for item in run_checks(network, compile_network(network))} == {"BGP008"}
