"""A VPN tunnel with an accelerator in its way: whom each end speaks to and sees, and what fits."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from bongsu.checks import run_checks
from bongsu.intent import IntentError, load_text
from bongsu.model.network import Network
from bongsu.model.vpn import VpnTunnel
from bongsu.plan.accelerate import RELAY_OVERHEAD, REPAIR_OVERHEAD, leading
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import inside_mtu, stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.repair import packet

ESP = "aes256gcm16-ecp384"
"""What AWS is proposed."""


def document() -> dict[str, Any]:
    """A site, two PoPs, a cloud; the PoPs' own addresses are behind 1:1 NATs."""
    endpoint = {"one": {"address": "203.0.114.9"}}
    return {
        "version": 1,
        "name": "through",
        "nodes": {
            "office": {
                "role": "router",
                "interfaces": {
                    "eth0": {
                        "role": "uplink",
                        "addresses": ["198.51.100.2/30", "2001:db8:1::2/64"],
                        "gateway": "198.51.100.1",
                    },
                    "lan": {"role": "lan", "addresses": ["10.1.0.1/24"]},
                },
            },
            "near": pop("192.0.2.2/24"),
            "far": pop("203.0.113.2/24"),
        },
        "clouds": {"seoul": {"profile": "aws", "networks": ["172.31.0.0/16"]}},
        "vpns": {
            "branch": {
                "site": "office",
                "cloud": "seoul",
                "static": True,
                "tunnels": {
                    "vpn1": {
                        "headend": "203.0.114.9",
                        "inside": "169.254.41.2/30",
                        "psk": "env:PSK",
                        "accelerator": "ga",
                    }
                },
            }
        },
        "accelerators": {
            "ga": {
                "regions": {
                    "here": {"node": "near", "address": "10.9.9.9", "public": "192.0.2.10"},
                    "there": {"node": "far", "address": "203.0.113.11"},
                },
                "egress": {"node": "far", "off_address": "10.8.8.8", "public": "203.0.113.10"},
                "listeners": {
                    "web": {"protocol": "tcp", "ports": [443], "endpoints": endpoint},
                    "ike": {"ports": [500, 4500], "endpoints": endpoint},
                },
            }
        },
    }  # fmt: skip


def pop(*addresses: str, mtu: int = 1500, transit: bool = False) -> dict[str, Any]:
    uplink = {"role": "uplink", "addresses": list(addresses), "mtu": mtu}
    return {"role": "router", "transit": transit, "interfaces": {"eth0": uplink}}


def network(document: Mapping[str, Any]) -> Network:
    return load_text(yaml.safe_dump(document), "through.yaml").network


def tunnel_of(document: Mapping[str, Any]) -> VpnTunnelPlan:
    return compile_network(network(document))["office"].vpns[0]


def test_site_speaks_to_the_accelerated_address_and_calls_itself_as_the_headend_sees_it() -> None:
    tunnel = tunnel_of(document())
    assert (str(tunnel.local), str(tunnel.remote)) == ("198.51.100.2", "192.0.2.10")
    assert (str(tunnel.headend), str(tunnel.customer)) == ("203.0.114.9", "203.0.113.10")
    assert (tunnel.local_id, tunnel.remote_id) == ("203.0.113.10", "203.0.114.9")
    assert tunnel.translated
    assert not tunnel.nat
    assert tunnel.accelerated is not None
    assert (tunnel.accelerated.name, tunnel.accelerated.region) == ("ga", "here")


def test_another_region_and_stated_identities() -> None:
    stated = document()
    stated["vpns"]["branch"]["tunnels"]["vpn1"] |= {
        "region": "there", "id": "office.example.net", "peer_id": "gw.example.net",
    }  # fmt: skip
    tunnel = tunnel_of(stated)
    assert str(tunnel.remote) == "203.0.113.11"
    assert (tunnel.local_id, tunnel.remote_id) == ("office.example.net", "gw.example.net")


def test_without_an_accelerator_nothing_is_translated() -> None:
    plain = document()
    del plain["vpns"]["branch"]["tunnels"]["vpn1"]["accelerator"]
    tunnel = tunnel_of(plain)
    assert tunnel.accelerated is None
    assert tunnel.remote == tunnel.headend
    assert tunnel.customer == tunnel.public == tunnel.local
    assert not tunnel.translated
    assert not tunnel.encapsulation


@pytest.mark.parametrize(("stated", "planned"), [(None, True), (True, True), (False, False)])
def test_esp_goes_in_udp_unless_the_file_says_otherwise(stated: bool | None, planned: bool) -> None:
    text = document()
    text["vpns"]["branch"]["encapsulation"] = stated
    assert tunnel_of(text).encapsulation is planned


def test_stand_in_has_a_customer_at_the_off_address() -> None:
    plan = stand_in_plan(network(document()), "seoul")
    far = plan.vpns[0]
    assert (str(far.local), str(far.remote)) == ("203.0.114.9", "203.0.113.10")
    assert (far.local_id, far.remote_id) == ("203.0.114.9", "203.0.113.10")
    assert far.accelerated is None
    assert not far.nat
    assert far.encapsulation
    assert [str(a.ip) for a in plan.interfaces[0].addresses] == ["203.0.114.9"]
    assert NodePlan.model_validate_json(plan.canonical_json()) == plan


def test_room_is_what_is_left_beside_the_relay() -> None:
    assert tunnel_of(document()).mtu == inside_mtu(
        1448, tunnel_of(document()).local, [ESP], udp=True
    )


def room(change: Mapping[str, Any]) -> int:
    text = document()
    text["nodes"] |= change
    accelerated = tunnel_of(text).accelerated
    assert accelerated is not None
    return accelerated.mtu


def test_room_follows_the_pops_that_may_carry_it() -> None:
    assert room({}) == 1448
    assert room({"far": pop("203.0.113.2/24", mtu=9000)}) == 1448
    assert room({"far": pop("203.0.113.2/24", mtu=1400)}) == 1348
    # A third PoP counts where it may be on the way, and only there.
    assert room({"third": pop("192.0.2.9/24", mtu=1300)}) == 1448
    assert room({"third": pop("192.0.2.9/24", mtu=1300, transit=True)}) == 1248
    # Nor does one that carries another accelerator.
    text = document()
    text["nodes"]["other"] = pop("192.0.2.9/24", mtu=1300)
    text["accelerators"]["gb"] = text["accelerators"]["ga"] | {
        "regions": {"x": {"node": "other", "address": "192.0.2.9"}}
    }
    assert tunnel_of(text).accelerated == tunnel_of(document()).accelerated
    # Between PoPs of which one has IPv6 alone the outer header is longer.
    assert room({"near": pop("2001:db8:2::2/64")}) == 1428


def test_repair_and_tunnels_leave_less() -> None:
    text = document()
    text["accelerators"]["ga"]["listeners"]["ike"]["repair"] = {"mode": "duplicate"}
    accelerated = tunnel_of(text).accelerated
    assert accelerated is not None
    assert accelerated.mtu == 1448 - 22
    # Only that of the listener which the tunnel goes by.
    text = document()
    text["accelerators"]["ga"]["listeners"]["web"]["repair"] = {"mode": "duplicate"}
    assert tunnel_of(text).accelerated == tunnel_of(document()).accelerated
    tunnel = {"near": {"addresses": ["10.7.0.1/30"]}, "far": {"addresses": ["10.7.0.2/30"]}}
    text = document() | {"tunnels": {"gre1": {"ends": tunnel, "key": 7}}}
    assert tunnel_of(text).accelerated == tunnel_of(document()).accelerated
    text["relay"] = {"over": "tunnels"}
    accelerated = tunnel_of(text).accelerated
    assert accelerated is not None
    assert accelerated.mtu == 1500 - 28 - 52


def test_overheads_are_those_of_the_wire() -> None:
    assert REPAIR_OVERHEAD == packet.OVERHEAD
    assert {4: 20 + 8 + packet.HEADER, 6: 40 + 8 + packet.HEADER} == RELAY_OVERHEAD


def test_where_entry_and_egress_are_one_nothing_is_relayed() -> None:
    text = document()
    text["accelerators"]["ga"]["regions"] = {"there": {"node": "far", "address": "203.0.113.11"}}
    accelerated = tunnel_of(text).accelerated
    assert accelerated is not None
    assert accelerated.mtu == 1500


def test_listeners_that_lead_to_a_headend() -> None:
    found = network(document())
    tunnel: VpnTunnel = found.vpns["branch"].tunnels["vpn1"]
    assert [name for name, _ in leading(found.accelerators["ga"], tunnel.headend)] == ["ike"]


def test_a_stated_mtu_that_does_not_fit_beside_the_relay_is_found() -> None:
    text = document()
    text["vpns"]["branch"]["mtu"] = inside_mtu(1500, tunnel_of(text).local, [ESP], udp=True)
    found = network(text)
    codes = [f.code for f in run_checks(found, compile_network(found))]
    assert "MTU001" in codes
    del text["vpns"]["branch"]["tunnels"]["vpn1"]["accelerator"]
    found = network(text)
    assert "MTU001" not in [f.code for f in run_checks(found, compile_network(found))]


def test_unknown_accelerators_and_regions_are_errors() -> None:
    text = document()
    text["vpns"]["branch"]["tunnels"]["vpn1"]["accelerator"] = "gb"
    with pytest.raises(IntentError, match="no accelerator"):
        network(text)
    text["vpns"]["branch"]["tunnels"]["vpn1"] |= {"accelerator": "ga", "region": "mars"}
    with pytest.raises(IntentError, match="no region of ga"):
        network(text)
