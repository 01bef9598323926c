"""What a change of the file does: fates of sessions, and addresses that stand typed in elsewhere."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bongsu.cli.main import app
from bongsu.model.network import Network
from bongsu.model.vpn import Binding
from bongsu.plan.change import Fate, NodeChange, Retype, node_changes, retypes
from bongsu.plan.change.node import IN_PLACE
from bongsu.plan.compile import compile_network
from bongsu.plan.node import ExternalPeer, InternalPeer, NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan
from tests.unit.check_helpers import EXAMPLES, example, merged

ACCELERATED = "accelerated-vpn"
HYBRID = "hybrid-vpn"
THIRD = {
    "headend": "192.0.2.9",
    "inside": "10.10.10.9/30",
    "peer": "10.10.10.10",
    "psk": "env:OCI_PSK_3",
}


@cache
def compiled(text: str) -> tuple[Network, dict[str, NodePlan]]:
    network = Network.model_validate_json(text)
    return network, compile_network(network)


def both(name: str, change: Any) -> tuple[tuple[Network, dict[str, NodePlan]], ...]:
    values = example(name)
    return compiled(json.dumps(values)), compiled(json.dumps(merged(values, change)))


def changes(name: str, change: Any) -> dict[str, NodeChange]:
    (_, old), (_, new) = both(name, change)
    return node_changes(old, new)


def typed(name: str, change: Any) -> list[Retype]:
    (old, before), (new, after) = both(name, change)
    return retypes(old, new, before, after)


def fate(change: NodeChange, kind: str, name: str) -> Fate:
    (found,) = [f for f in change.fates if (f.kind, f.name) == (kind, name)]
    return found


def test_nothing_changed_and_nothing_is_told() -> None:
    for name in (ACCELERATED, HYBRID, "anycast"):
        for change in changes(name, {}).values():
            assert change.what == "kept"
            assert change.told == []
        assert typed(name, {}) == []


def test_every_session_is_kept_by_name_while_nothing_changes() -> None:
    kept = {(f.kind, f.name) for f in changes(HYBRID, {})["cpe"].kept}
    assert kept == {
        ("IPsec tunnel", "vti1"), ("IPsec tunnel", "vti2"),
        ("BGP session", "vti1"), ("BGP session", "vti2"),
    }  # fmt: skip


def test_a_table_names_no_field_that_there_is_not() -> None:
    """A misspelt one would end sessions that stay."""
    known = {
        "GRE tunnel": set(TunnelPlan.model_fields),
        "IPsec tunnel": set(VpnTunnelPlan.model_fields),
        "BGP session": {
            key for model in (ExternalPeer, InternalPeer, CloudPeer) for key in model.model_fields
        },
    }
    assert {kind: fields - known[kind] for kind, fields in IN_PLACE.items()} == {
        kind: frozenset() for kind in IN_PLACE
    }


@pytest.mark.parametrize(
    ("change", "ends", "why"),
    [
        ({"ike": {"lifetime_s": 3600}}, True, "ike_lifetime_s"),
        (
            {"tunnels": {"vti1": {"headend": "192.0.2.9", "peer_id": "193.122.99.212"}}},
            True,
            "remote",
        ),
        ({"probe": {}}, False, "probe"),
        ({"mtu": 1300}, False, "mtu"),
        ({"rpf": "strict"}, False, "rpf"),
    ],
)
def test_an_ipsec_tunnel_is_negotiated_anew_or_stays(
    change: dict[str, Any], ends: bool, why: str
) -> None:
    node = changes(HYBRID, {"vpns": {"hub": change}})["cpe"]
    assert node.what == "changed"
    found = fate(node, "IPsec tunnel", "vti1")
    assert (found.what, found.ends) == ("changed", ends)
    assert why in found.why


def test_networks_behind_the_cloud_are_filters_while_selectors_are_everything() -> None:
    more = {"clouds": {"seoul": {"networks": ["172.16.0.0/16"]}}}
    found = fate(changes(HYBRID, more)["cpe"], "IPsec tunnel", "vti1")
    assert (found.ends, found.why) == (False, ("remote_networks",))
    policy = {"vpns": {"hub": {"selectors": "networks"}}}
    before = merged(example(HYBRID), policy)
    (_, old), (_, new) = (compiled(json.dumps(v)) for v in (before, merged(before, more)))
    assert fate(node_changes(old, new)["cpe"], "IPsec tunnel", "vti1").ends


@pytest.mark.parametrize(("binding", "ends"), [("vti", False), ("policy", True)])
def test_a_policys_place_is_in_its_connection(binding: Any, ends: bool) -> None:
    """A standby's policies are behind the active one's; with interfaces it is routes that are."""
    plan = compiled(json.dumps(example(HYBRID)))[1]["cpe"]
    before, after = (
        plan.model_copy(
            update={
                "vpns": [
                    tunnel.model_copy(update={"binding": Binding(binding), "rank": rank})
                    for tunnel in plan.vpns
                ]
            }
        )
        for rank in (0, 1)
    )
    found = fate(node_changes({"cpe": before}, {"cpe": after})["cpe"], "IPsec tunnel", "vti1")
    assert (found.why, found.ends) == (("rank",), ends)


def test_only_the_tunnel_that_changes_is_told_of() -> None:
    node = changes(HYBRID, {"vpns": {"hub": {"tunnels": {"vti1": {"headend": "192.0.2.9"}}}}})[
        "cpe"
    ]
    assert ("IPsec tunnel", "vti2") in {(f.kind, f.name) for f in node.kept}
    assert ("IPsec tunnel", "vti1") in {(f.kind, f.name) for f in node.told}


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"vpns": {"hub": {"bgp": {"hold_s": 20}}}}, True),
        ({"vpns": {"hub": {"bgp": {"announce": ["10.0.0.0/17"]}}}}, False),
        # It is one of three now, and lowered farther should it be degraded.
        ({"vpns": {"hub": {"tunnels": {"vti3": THIRD}}}}, False),
        ({"nodes": {"cpe": {"bgp": {"asn": 65001}}}}, True),
        ({"nodes": {"cpe": {"routing": "bird"}}}, True),
    ],
)
def test_a_bgp_session_is_reset_or_stays(change: dict[str, Any], ends: bool) -> None:
    found = fate(changes(HYBRID, change)["cpe"], "BGP session", "vti1")
    assert (found.what, found.ends) == ("changed", ends)


def test_another_ike_daemon_ends_every_tunnel() -> None:
    node = changes(HYBRID, {"nodes": {"cpe": {"ipsec": "strongswan"}}})["cpe"]
    assert all(fate(node, "IPsec tunnel", name).ends for name in ("vti1", "vti2"))


def test_gre_and_bgp_of_a_pop() -> None:
    values = example("anycast")
    tunnel = next(iter(values["tunnels"]))
    nodes = list(values["tunnels"][tunnel]["ends"])
    found = changes("anycast", {"tunnels": {tunnel: {"key": 77}}})
    for name in nodes:
        assert fate(found[name], "GRE tunnel", tunnel).ends
    found = changes("anycast", {"tunnels": {tunnel: {"keepalive": {"seconds": 5}}}})
    for name in nodes:
        told = fate(found[name], "GRE tunnel", tunnel)
        assert (told.what, told.ends) == ("changed", False)


def test_nodes_come_and_go() -> None:
    fresh = {
        "role": "router",
        "interfaces": {"eth0": {"role": "uplink", "addresses": ["192.0.2.77/24"]}},
    }
    found = changes(HYBRID, {"nodes": {"other": fresh}})
    assert found["other"].what == "added"
    assert [f.what for f in found["other"].fates] == ["added"]
    (_, old), (_, new) = both(HYBRID, {"nodes": {"other": fresh}})
    gone = node_changes(new, old)["other"]
    assert (gone.what, [(f.kind, f.ends) for f in gone.fates]) == (
        "removed",
        [("interface", False)],
    )


# Accelerators

GA = "ga-1"


def at(change: Any) -> Any:
    return {"accelerators": {GA: change}}


def listener(change: Any) -> Any:
    return at({"listeners": {"ipsec": change}})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (at({"egress": {"off_address": "203.0.113.138"}}), "off_address"),
        (at({"regions": {"shanghai": {"address": "203.0.113.10"}}}), "region shanghai"),
        (listener({"ports": [4500]}), "ports of ipsec"),
        (listener({"endpoints": {"tunnel-1": {"address": "198.51.100.99"}}}), "endpoint tunnel-1 of ipsec"),
    ],
)  # fmt: skip
def test_what_ends_an_accelerators_sessions(change: Any, why: str) -> None:
    found = fate(changes(ACCELERATED, change)["pop-seoul"], "accelerator", GA)
    assert (found.what, found.ends) == ("changed", True)
    assert why in found.why


@pytest.mark.parametrize(
    "change",
    [
        at({"bandwidth_mbps": 70}),
        at({"regions": {"busan": {"node": "pop-tokyo", "address": "203.0.113.74"}}}),
        listener({"idle_s": 60}),
        listener({"ports": [500, "4500-4501"]}),
        listener({"repair": {"mode": "duplicate"}}),
        listener({"endpoints": {"spare": {"address": "198.51.100.98", "weight": 0}}}),
    ],
)
def test_what_they_outlive(change: Any) -> None:
    found = fate(changes(ACCELERATED, change)["pop-seoul"], "accelerator", GA)
    assert (found.what, found.ends) == ("changed", False)


def test_an_egress_that_moves_takes_the_sessions_with_it() -> None:
    away = at({"egress": {"node": "pop-tokyo", "off_address": "203.0.113.74"}})
    moved = changes(ACCELERATED, away)
    old = fate(moved["pop-seoul"], "accelerator", GA)
    assert (old.what, old.ends) == ("removed", True)
    assert fate(moved["pop-tokyo"], "accelerator", GA).what == "added"
    entry = fate(moved["pop-shanghai"], "accelerator", GA)
    assert entry.ends
    assert "egress" in entry.why


def test_the_other_accelerator_is_not_told_of() -> None:
    node = changes(ACCELERATED, at({"egress": {"off_address": "203.0.113.138"}}))["pop-seoul"]
    assert ("accelerator", "ga-2") in {(f.kind, f.name) for f in node.kept}


# Addresses that stand typed in elsewhere


def said(name: str, change: Any) -> list[tuple[str, str, str | None]]:
    return [
        (item.place, str(item.old), None if item.new is None else str(item.new))
        for item in typed(name, change)
    ]


SEOUL = "customer gateway of office (tunnel ga1) at seoul"


@pytest.mark.parametrize(
    ("change", "new", "cause"),
    [
        (at({"egress": {"off_address": "203.0.113.138"}}), "203.0.113.138",
         "the off address of ga-1 was edited"),
        (at({"egress": {"public": "203.0.115.7"}}), "203.0.115.7",
         "the off address of ga-1 was edited"),
        (at({"egress": {"node": "pop-tokyo", "off_address": "203.0.113.74"}}), "203.0.113.74",
         "the egress of ga-1 moves from pop-seoul to pop-tokyo"),
        ({"vpns": {"office": {"tunnels": {"ga1": {"accelerator": None}}}}}, "192.0.2.10",
         "it goes through ga-1 no more"),
        ({"vpns": {"office": {"tunnels": {"ga1": {"accelerator": "ga-2"}}}}}, "203.0.113.152",
         "it goes through ga-2 and no more through ga-1"),
        # Deleted and made anew under another name, with another address.
        ({"accelerators": {GA: None, "ga-9": {
            "regions": {"shanghai": {"node": "pop-shanghai", "address": "203.0.113.21"}},
            "egress": {"node": "pop-seoul", "off_address": "203.0.113.138"},
            "listeners": {"ipsec": {"ports": [500, 4500],
                                    "endpoints": {"t": {"address": "198.51.100.11"}}}}}},
          "vpns": {"office": {"tunnels": {"ga1": {"accelerator": "ga-9"}}}}}, "203.0.113.138",
         "it goes through ga-9 and no more through ga-1"),
    ],
)  # fmt: skip
def test_a_customer_gateway_that_has_to_be_typed_again(change: Any, new: str, cause: str) -> None:
    (found,) = typed(ACCELERATED, change)
    assert (found.place, str(found.old), str(found.new)) == (SEOUL, "203.0.113.151", new)
    assert found.cause == cause
    assert found.path == ("vpns", "office", "tunnels", "ga1")


@pytest.mark.parametrize(
    "change",
    [
        # Document B's own step: the endpoint gets the address that the tunnel was given.
        listener({"endpoints": {"tunnel-1": {"address": "198.51.100.99"}}})
        | {"vpns": {"office": {"tunnels": {"ga1": {"headend": "198.51.100.99"}}}}},
        listener({"ports": [500, 4500, 4501]}),
        listener({"idle_s": 60}),
        at({"bandwidth_mbps": 70}),
        at({"regions": {"shanghai": {"address": "203.0.113.10"}}}),
        {"nodes": {"pop-tokyo": None}},
        # The listener deleted and made anew: the address is stated, and stays.
        at({"listeners": {"ipsec": None, "again": {
            "ports": [500, 4500], "endpoints": {"t": {"address": "198.51.100.11"}}}}}),
    ],
)  # fmt: skip
def test_what_changes_no_address_that_anybody_has_typed(change: Any) -> None:
    assert typed(ACCELERATED, change) == []


def test_an_off_address_that_is_not_stated_moves_with_the_pop() -> None:
    loose = at({"source_consistent": False, "egress": {"off_address": None}})
    old = merged(example(ACCELERATED), loose)
    new = merged(old, {"nodes": {"pop-seoul": {"interfaces": {"ens3": {
        "addresses": ["203.0.113.140/26", "203.0.113.152/26"]}}}}})  # fmt: skip
    (a, before), (b, after) = compiled(json.dumps(old)), compiled(json.dumps(new))
    (found,) = retypes(a, b, before, after)
    assert (str(found.old), str(found.new)) == ("203.0.113.138", "203.0.113.140")
    assert "no `off_address`" in found.cause


def without_vpn() -> dict[str, Any]:
    """Both gateways are somebody else's."""
    return merged(example(ACCELERATED), {"vpns": None, "clouds": None})


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (at({"egress": {"off_address": "203.0.113.138"}}),
         [("whoever runs 198.51.100.11 (endpoint tunnel-1 of ga-1)", "203.0.113.138")]),
        (at({"regions": {"shanghai": {"address": "203.0.113.10"}}}),
         [("peer address of whoever enters ga-1 by region shanghai", "203.0.113.10")]),
        ({"accelerators": {GA: None}},
         [("whoever runs 198.51.100.11 (endpoint tunnel-1 of ga-1)", None),
          ("peer address of whoever enters ga-1 by region shanghai", None)]),
        (at({"listeners": {"ipsec": None, "web": {
            "ports": [443], "endpoints": {"w": {"address": "198.51.100.3"}}}}}),
         [("whoever runs 198.51.100.11 (endpoint tunnel-1 of ga-1)", None)]),
        (listener({"endpoints": {"tunnel-1": {"address": "198.51.100.99"}}}), []),
    ],
)  # fmt: skip
def test_gateways_that_are_not_in_the_file(
    change: Any, places: list[tuple[str, str | None]]
) -> None:
    old = without_vpn()
    (a, before), (b, after) = compiled(json.dumps(old)), compiled(json.dumps(merged(old, change)))
    found = retypes(a, b, before, after)
    assert [(i.place, None if i.new is None else str(i.new)) for i in found] == places


def test_a_service_at_the_site_names_the_accelerated_address() -> None:
    service = {
        "nodes": {"gw-shanghai": {"platform": "alibaba"}},
        "vpns": {"office": {"probe": None}},
    }
    old = merged(example(ACCELERATED), service)
    new = merged(old, at({"regions": {"shanghai": {"address": "203.0.113.10"}}}))
    (a, before), (b, after) = compiled(json.dumps(old)), compiled(json.dumps(new))
    (found,) = retypes(a, b, before, after)
    assert found.place == "customer gateway of office (tunnel ga1) at gw-shanghai"
    assert (str(found.old), str(found.new)) == ("203.0.113.21", "203.0.113.10")


def test_a_site_whose_own_address_changes() -> None:
    (one, two) = typed(
        HYBRID, {"nodes": {"cpe": {"interfaces": {"ens3": {"public": "192.0.2.5"}}}}}
    )
    assert {one.place, two.place} == {
        "customer gateway of hub (tunnel vti1) at seoul",
        "customer gateway of hub (tunnel vti2) at seoul",
    }
    assert one.cause == "the site's own address was edited"


# The verb


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["plan", *words])


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The example with another off address, and as it was."""
    text = (EXAMPLES / f"{ACCELERATED}.yaml").read_text()
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(text)
    new.write_text(text.replace("off_address: 203.0.113.151", "off_address: 203.0.113.138"))
    return str(new), str(old)


def test_the_warning_comes_first_and_in_words(files: tuple[str, str]) -> None:
    done = run(files[0], "--since", files[1])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == (
        f"warning: {SEOUL}: 203.0.113.151 becomes 203.0.113.138, for the off address of ga-1 was "
        "edited"
    )
    assert "type 203.0.113.138 there" in lines[1]
    told = done.stdout
    assert "gw-shanghai: changed" in told
    assert "IPsec tunnel ga1: IKE is negotiated anew" in told
    assert "IPsec tunnels kept: ga2" in told
    assert "/etc/swanctl/conf.d/bongsu.conf" in told
    assert "unchanged: pop-tokyo" in told


def test_strict_ends_with_1_and_without_a_change_with_0(files: tuple[str, str]) -> None:
    assert run(files[0], "--since", files[1], "--strict").exit_code == 1
    same = run(files[0], "--since", files[0], "--strict")
    assert same.exit_code == 0
    assert same.stdout.startswith("unchanged: ")


def test_json_has_the_same(files: tuple[str, str]) -> None:
    answer = json.loads(run(files[0], "--since", files[1], "--json").stdout)
    assert answer["ok"] is True
    (warning,) = answer["warnings"]
    assert warning["path"] == "vpns.office.tunnels.ga1"
    assert (warning["old"], warning["new"]) == ("203.0.113.151", "203.0.113.138")
    site = answer["nodes"]["gw-shanghai"]
    assert site["files"]["added"] == site["files"]["removed"] == []
    assert "/etc/swanctl/conf.d/bongsu.conf" in site["files"]["changed"]
    # Every file has the plan's name in its head, and that alone is no change.
    assert "/etc/sysctl.d/60-bongsu.conf" not in site["files"]["changed"]
    assert {"kind": "IPsec tunnel", "name": "ga2"} in site["kept"]
    assert answer["nodes"]["pop-tokyo"]["change"] == "kept"


def test_one_node_and_one_that_is_not(files: tuple[str, str]) -> None:
    done = run(files[0], "--since", files[1], "--node", "pop-tokyo")
    assert "gw-shanghai: " not in done.stdout
    # A warning is nobody's alone.
    assert done.stdout.startswith("warning: ")
    wrong = run(files[0], "--since", files[1], "--node", "mars")
    assert wrong.exit_code == 2
    assert "pop-tokyo" in wrong.stderr


def test_an_earlier_state_that_is_no_network(files: tuple[str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\n")
    assert run(files[0], "--since", str(bad)).exit_code == 1
    assert run(files[0], "--since", str(tmp_path / "none.yaml")).exit_code == 2


def test_without_since_the_plans_as_ever(files: tuple[str, str]) -> None:
    answer = json.loads(run(files[0], "--node", "gw-shanghai").stdout)
    assert NodePlan.model_validate(answer["gw-shanghai"]).node == "gw-shanghai"
