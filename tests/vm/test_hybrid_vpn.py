"""The hybrid example in Debian's kernel: Libreswan with VTIs behind a 1:1 NAT, and the cloud.

What the rendered files mean to the daemons that they are for. The lab on the machine's own kernel
(tests/lab/test_hybrid_vpn.py) tries the agent and the faults, with strongSwan in user space.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent import load_text
from tests.vm.harness import resume
from tests.vm.hybrid_world import world

pytestmark = pytest.mark.vm

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid-vpn.yaml"
PUBLIC, PRIVATE = "144.24.84.145", "10.0.236.153"
HEADENDS = {"vti1": "193.122.99.212", "vti2": "146.56.44.93"}

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def seen() -> Seen:
    network = load_text(EXAMPLE.read_text(), EXAMPLE.name).network
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.hybrid_vpn",
        {"world.json": json.dumps(world(network))},
        timeout_s=400,
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output[result.output.rindex("\n{") :]))


def test_both_associations_stand(seen: Seen) -> None:
    for name, headend in HEADENDS.items():
        assert re.search(rf'"{name}", type=ESP, .*id=\'{re.escape(headend)}\'', seen["pluto"])
        assert re.search(
            rf"{name}: #\d+, ESTABLISHED, IKEv1.*\n  local  '{re.escape(headend)}'.*\n"
            rf"  remote '{PUBLIC}'.*\n  AES_CBC-256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_1536",
            seen["charon"],
        )
    assert seen["charon"].count("INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256") == 2
    assert "Total IPsec connections: loaded 2, active 2" in seen["pluto_status"]


def test_the_kernel_carries_them_in_udp(seen: Seen) -> None:
    for node, outer in (("cpe", PRIVATE), ("seoul", PUBLIC)):
        found = seen["states"][node]
        pairs = {(one["from"], one["to"]) for one in found}
        expected = {(outer, headend) for headend in HEADENDS.values()}
        assert pairs == expected | {(headend, outer) for headend in HEADENDS.values()}
        assert all(one["espinudp"] and one["gcm"] for one in found)
        assert all(one["packets"] > 0 for one in found)


def test_the_interfaces_are_what_the_file_asks_for(seen: Seen) -> None:
    for number, (name, headend) in enumerate(HEADENDS.items()):
        vti = seen["links"]["cpe"][name]
        assert vti["info_kind"] == "vti"
        data = vti["info_data"]
        assert (data["local"], data["remote"]) == (PRIVATE, headend)
        assert {data["ikey"], data["okey"]} == {f"0.0.0.{5 + number}"}
        assert seen["links"]["seoul"][name]["info_kind"] == "xfrm"


def test_bgp_is_established_with_two_received_and_one_sent(seen: Seen) -> None:
    assert set(seen["bgp"]["cpe"]) == {"10.10.10.2", "10.10.10.6"}
    for node, counts, asn in (("cpe", (2, 1), 31898), ("seoul", (1, 2), 65000)):
        for peer in seen["bgp"][node].values():
            assert (peer["state"], peer["remoteAs"]) == ("Established", asn)
            assert (peer["pfxRcd"], peer["pfxSnt"]) == counts


def test_the_hosts_reach_each_other(seen: Seen) -> None:
    for source, ttl in (("vm-onprem", "62"), ("vm-cloud", "61")):
        text = seen["pings"][source]
        assert "5 received" in text, text
        assert set(re.findall(r"ttl=(\d+)", text)) == {ttl}


def test_nothing_is_in_clear_on_the_wire(seen: Seen) -> None:
    assert not seen["clear"]
    headends = "|".join(map(re.escape, HEADENDS.values()))
    us = re.escape(PUBLIC)
    wanted = re.compile(
        rf"IP ({us}\.4500 > ({headends})\.4500|({headends})\.4500 > {us}\.4500): UDP-encap: ESP"
        rf"|IP ({us}\.4500 > ({headends})\.4500|({headends})\.4500 > {us}\.4500): "
        r"(NONESP-encap|isakmp-nat-keep-alive)"
    )
    assert [line for line in seen["wire"] if not wanted.match(line)] == []
    assert sum("UDP-encap: ESP" in line for line in seen["wire"]) >= 20
    translated = re.search(r"saddr 10\.0\.236\.153 counter packets (\d+)", seen["nat"])
    assert translated is not None
    assert int(translated[1]) > 0


def test_the_machine_is_as_libreswan_wants_it(seen: Seen) -> None:
    """`ipsec verify`, and by name what it looks at."""
    assert seen["settings"]["ip_forward"] == "1"
    assert seen["settings"]["conf/all/send_redirects"] == "0"
    assert seen["settings"]["conf/vti1/disable_policy"] == "1"
    strict = [key for key in ("conf/all/rp_filter", "conf/vti1/rp_filter")
              if seen["settings"][key] == "1"]  # fmt: skip
    assert strict == []
    assert re.search(
        r"Pluto running\s+\[OK\]|Checking that pluto is running\s+\[OK\]", seen["verify"]
    )
    assert re.search(r"NETKEY.*\[OK\]|XFRM.*\[OK\]", seen["verify"])


def test_strongswan_meddles_with_nothing(seen: Seen) -> None:
    """Not with ARP, broadcasts or DHCP of the LANs, which selectors of 0.0.0.0/0 would be reason for."""
    (loaded,) = seen["plugins"]
    assert "kernel-netlink" in loaded.split()
    assert not {"farp", "forecast", "dhcp", "unity", "connmark", "ha"} & {*loaded.split()}


def test_our_filters_drop_nothing_of_it(seen: Seen) -> None:
    for text in seen["dropped"].values():
        assert re.findall(r"counter (bgp_foreign|spoofed) \{\s+packets ([1-9]\d*)", text) == []
