"""From network to plans: what is filled in, and that equal networks give equal plans."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"
RAW: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())


def plans(**changes: Any) -> dict[str, NodePlan]:
    """Plans of the example; `changes` is dotted path -> value, None takes the key away."""
    raw = deepcopy(RAW)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = raw
        for key in way:
            place = place[key.replace("_", "-") if key.startswith("gre_") else key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return compile_network(Network.model_validate(raw))


def test_both_ends_mirror_each_other() -> None:
    ours, theirs = plans()["seoul"].tunnel("gre-seoul"), plans()["home"].tunnel("gre-seoul")
    assert (ours.local, ours.remote) == (theirs.remote, theirs.local)
    assert [a.ip for a in ours.addresses] == theirs.peer_addresses
    assert (ours.key, ours.mtu, ours.overhead) == (theirs.key, theirs.mtu, theirs.overhead)
    assert (ours.underlay, theirs.underlay) == ("ens3", "wan")


@pytest.mark.parametrize(
    ("changes", "overhead", "mtu"),
    [
        ({}, 28, 1472),
        ({"tunnels__gre_seoul__key": None}, 24, 1476),
        ({"tunnels__gre_seoul__mtu": 1400}, 28, 1400),
    ],
)
def test_mtu(changes: dict[str, Any], overhead: int, mtu: int) -> None:
    tunnel = plans(**changes)["seoul"].tunnel("gre-seoul")
    assert (tunnel.overhead, tunnel.mtu) == (overhead, mtu)


def test_the_smaller_underlay_bounds_both_ends() -> None:
    wan = {"role": "uplink", "addresses": ["192.0.2.10/24"], "gateway": "192.0.2.1", "mtu": 1460}
    found = plans(nodes__home__interfaces__wan=wan)
    assert found["seoul"].tunnel("gre-seoul").mtu == 1432
    assert found["home"].tunnel("gre-seoul").mtu == 1432


def test_outer_ipv6_where_both_ends_have_nothing_else() -> None:
    six = {"role": "uplink", "addresses": ["2001:db8:1::10/64"], "gateway6": "2001:db8:1::1"}
    both = {
        "role": "uplink",
        "addresses": ["192.0.2.10/24", "2001:db8:2::10/64"],
        "gateway": "192.0.2.1",
    }
    found = plans(nodes__seoul__interfaces__ens3=six, nodes__home__interfaces__wan=both)
    tunnel = found["home"].tunnel("gre-seoul")
    assert (str(tunnel.local), str(tunnel.remote)) == ("2001:db8:2::10", "2001:db8:1::10")
    assert (tunnel.overhead, tunnel.mtu) == (48, 1452)
    assert found["home"].tunnel("gre-tokyo").overhead == 28


def test_what_may_come_out_of_a_tunnel() -> None:
    found = plans()
    pop, home = found["seoul"].tunnel("gre-seoul"), found["home"].tunnel("gre-seoul")
    assert [str(p) for p in pop.inner_sources] == ["103.178.34.0/23"]
    assert [str(p) for p in pop.inner_destinations] == ["0.0.0.0/0"]
    assert [str(p) for p in home.inner_sources] == ["0.0.0.0/0"]
    assert [str(p) for p in home.inner_destinations] == ["103.178.34.0/23"]
    closed = plans(tunnels__gre_seoul__egress=False)["seoul"].tunnel("gre-seoul")
    assert closed.inner_destinations == []


def test_an_end_has_a_keepalive_of_its_own_or_none() -> None:
    ends = deepcopy(RAW["tunnels"]["gre-seoul"]["ends"])
    ends["seoul"]["keepalive"] = {"seconds": 7}
    ends["home"]["keepalive"] = False
    found = plans(tunnels__gre_seoul__ends=ends)
    assert found["seoul"].tunnel("gre-seoul").keepalive == (
        found["seoul"].tunnel("gre-seoul").keepalive.model_copy(update={"seconds": 7})  # type: ignore[union-attr]
    )
    assert found["home"].tunnel("gre-seoul").keepalive is None
    assert found["home"].tunnel("gre-seoul").peer_keepalive is not None


def test_home_prefixes_come_by_the_preferred_tunnel_first() -> None:
    (prefix,) = plans()["home"].home
    assert prefix.tunnels == ["gre-seoul", "gre-tokyo"]
    assert prefix.interface == "lan"
    assert [str(p) for p in prefix.more_specifics] == ["103.178.34.0/24", "103.178.35.0/24"]
    (other,) = plans(tunnels__gre_tokyo__preference=300)["home"].home
    assert other.tunnels == ["gre-tokyo", "gre-seoul"]


@pytest.mark.parametrize("length", [23, 22, 32])
def test_a_length_that_makes_no_sense_gives_no_more_specifics(length: int) -> None:
    announce = [{"prefix": "103.178.34.0/23", "deaggregate_on_failure": length}]
    assert plans(nodes__seoul__announce=announce)["seoul"].announcements[0].more_specifics == []


def test_a_plan_holds_the_owned_prefixes_it_needs() -> None:
    owner = {"asn": 64500, "prefixes": ["2001:db8::/32", "103.178.34.0/23", "192.0.2.0/24"]}
    found = plans(owner=owner)
    assert {str(p) for plan in found.values() for p in plan.owned} == {"103.178.34.0/23"}
    assert plans(nodes__tokyo__announce=[])["tokyo"].owned == []


def test_what_is_not_owned_is_in_no_plan() -> None:
    stolen = [{"prefix": "198.18.0.0/24"}]
    assert plans(nodes__seoul__announce=stolen)["seoul"].owned == []


def test_equal_networks_have_equal_plans_and_a_change_shows() -> None:
    first, again = plans(), plans()
    assert {n: p.digest() for n, p in first.items()} == {n: p.digest() for n, p in again.items()}
    changed = plans(tunnels__gre_tokyo__ttl=64)
    different = {name for name in first if first[name].digest() != changed[name].digest()}
    assert different == {"tokyo", "home"}
    assert NodePlan.model_validate_json(first["home"].canonical_json()) == first["home"]
