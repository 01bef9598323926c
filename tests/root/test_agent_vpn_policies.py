"""Two tunnels by policy with the same selectors, in user space: the first that works is used."""

import time
from collections.abc import Iterator

import pytest

from bongsu.intent.loader import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.system.ipsec.interfaces import ALIAS
from bongsu.system.run import run
from tests.root.agent_box import until
from tests.root.vpn_world import HEADENDS, World, world

pytestmark = pytest.mark.root

FILE = """
version: 1
name: vpn-policies
nodes:
  cpe:
    role: router
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}
      lan: {role: lan, addresses: [10.0.85.1/24]}
clouds:
  seoul: {profile: generic, asn: 65010, networks: [172.16.0.0/24]}
vpns:
  hub:
    site: cpe
    cloud: seoul
    binding: policy
    dpd: {delay_s: 2, timeout_s: 6}
    tunnels:
      vti1: {headend: 198.51.100.2, psk: "env:SEOUL_BGP_PASSWORD"}
      vti2: {headend: 198.51.100.6, psk: "env:TOKYO_BGP_PASSWORD"}
"""
NOTICED_S = 45.0
"""DPD's time at both ends, and much patience."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    network = load_text(FILE, "vpn-policies.yaml").network
    with world(tmp_path_factory.mktemp("policies")) as here:
        here.start(compile_network(network)["cpe"], stand_in_plan(network, "seoul"))
        yield here


def used(here: World) -> set[str]:
    """The tunnels that carry a few packets of now, in either direction."""
    before = counts(here)
    assert all(here.reaches() for _ in range(3))
    after = counts(here)
    # An association that was made in between has counted from zero.
    return {name for name, sent in after.items() if sent > before.get(name, 0)}


def counts(here: World) -> dict[str, int]:
    return {
        name: sum(sa["bytes_in"] + sa["bytes_out"] for sa in tunnel["esp"])
        for name, tunnel in here.tunnels().items()
    }


def test_the_first_that_works_carries(site: World) -> None:
    site.wait_up()
    until(lambda: used(site) == {"vti1"}, "the first tunnel is not the active one", 30)
    site.drop(HEADENDS["vti1"])
    began = time.monotonic()
    until(site.reaches, "the second did not take over", NOTICED_S)
    assert time.monotonic() - began < NOTICED_S
    assert used(site) == {"vti2"}
    site.heal()
    site.wait_up()
    until(lambda: used(site) == {"vti1"}, "the first is not used again", 30)
    assert site.cpe.text("ip", "rule").count("lookup 220") <= 1


def test_without_tunnels_nothing_of_them_is_left(site: World) -> None:
    site.wait_up()
    # As an interface is known that a kernel with ESP carried a tunnel by.
    site.cpe.ip("link add left type veth peer name far1")
    run(["ip", "link", "set", "left", "alias", ALIAS], netns=site.cpe.netns)
    plan = compile_network(load_text(FILE, "vpn-policies.yaml").network)["cpe"]
    bare = plan.model_copy(update={"vpns": [], "cloud_peers": [], "vpn_routes": []})
    report = site.cpe.client.call("apply", bundle=site.cpe.bundle(bare, "bare"))
    assert "removed tunnel left" in report["changes"]
    rules = [line.split()[-1] for line in site.cpe.text("ip", "rule").splitlines()]
    assert rules == ["local", "main", "default"]
    assert "libipsec" not in site.cpe.text("nft", "list", "tables")
    assert "ipsec" not in site.cpe.ip("-o link")
    assert not list((site.cpe.home / "run" / "bongsu").rglob("*.vici"))
    again = site.cpe.client.call("apply", bundle="/run/bundle")
    assert "led UDP 500 and 4500 to the tunnels' daemons" in again["changes"]
    site.wait_up()
