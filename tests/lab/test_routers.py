"""A hub and two spokes: static routes and BGP between routers, and what a hub's filter lets through."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.system.run import run

from .conftest import answered, standing

pytestmark = pytest.mark.lab

FILE = Path(__file__).parent / "networks" / "hub-and-spokes.yaml"
EAST, WEST = ip_address("10.20.0.10"), ip_address("10.30.0.10")
EAST6, WEST6 = ip_address("fd00:20::10"), ip_address("fd00:30::10")
HUB = ip_address("10.10.0.10")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    yield from standing(FILE, "t-routers")


def dropped(lab: Lab, node: str, counter: str) -> int:
    asked = ["nft", "-j", "list", "counter", "inet", "bongsu", counter]
    answer = json.loads(run(asked, netns=lab.paths.netns(node)).stdout)
    return sum(entry["counter"]["packets"] for entry in answer["nftables"] if "counter" in entry)


def test_spokes_reach_the_hub_and_each_other(lab: Lab) -> None:
    assert settle(lab, 10) == []
    assert answered(lab, "east-pc", HUB) == 5
    assert answered(lab, "east-pc", WEST) == 5
    assert answered(lab, "west-pc6", EAST6) == 5


def test_routers_tell_each_other_of_their_lans(lab: Lab) -> None:
    route = run(["ip", "route", "show", "10.10.0.0/24"], netns=lab.paths.netns("west")).stdout
    assert "dev t-west proto bird" in route
    # But not a route of another's, nor one of the file's: only what is theirs.
    routes = run(["ip", "route"], netns=lab.paths.netns("hub")).stdout
    assert "10.30.0.0/24 via 10.99.2.2 dev t-west proto bird" in routes
    assert "10.40.0.0/24" not in routes


def test_only_what_is_routed_into_a_tunnel_comes_out_of_it(lab: Lab) -> None:
    """East's third LAN is in nobody's route: what it sends into the tunnel ends at the hub."""
    before = dropped(lab, "hub", "inner_source_foreign")
    assert answered(lab, "stranger", HUB) == 0
    # Stopped where it would enter the tunnel: nothing of it is carried there.
    assert dropped(lab, "east", "into_tunnel") >= 5
    assert dropped(lab, "hub", "inner_source_foreign") == before


def test_an_access_list_holds_for_what_the_routes_would_let_in(lab: Lab) -> None:
    """West takes ICMP and its keepalives from the hub, and no TCP."""
    before = dropped(lab, "west", "inbound_denied")
    run(
        ["timeout", "0.5", "bash", "-c", f"echo > /dev/tcp/{WEST}/9"],
        netns=lab.paths.netns("east-pc"),
        check=False,
    )
    assert dropped(lab, "west", "inbound_denied") > before
    status = lab.agent("hub").call("status")
    lines = {tunnel["name"]: tunnel["line_protocol"] for tunnel in status["tunnels"]}
    assert lines == {"t-east": "up", "t-west": "up"}
