"""Several pairs of selectors in one tunnel, with real charons: one that goes is asked for again."""

from collections.abc import Iterator

import pytest

from bongsu.intent.loader import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.system.daemons.vici import Vici
from tests.root.agent_box import until
from tests.root.vpn_world import World, world

pytestmark = pytest.mark.root

FILE = """
version: 1
name: vpn-pairs
nodes:
  cpe:
    role: router
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}
      lan: {role: lan, addresses: [10.0.85.1/24]}
clouds:
  seoul: {profile: generic, asn: 65010, networks: [172.16.0.0/24, 172.16.1.0/24]}
vpns:
  hub:
    site: cpe
    cloud: seoul
    binding: policy
    ike: {version: 1}
    weak: [ikev1]
    dpd: {delay_s: 2, timeout_s: 6}
    tunnels:
      up: {headend: 198.51.100.2, psk: "env:SEOUL_BGP_PASSWORD"}
"""
LOST = "up_2"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    network = load_text(FILE, "vpn-pairs.yaml").network
    with world(tmp_path_factory.mktemp("pairs")) as here:
        # kernel-libipsec wants an address of ours in every local selector.
        here.cloud.ip("addr add 172.16.1.1/24 dev net0")
        here.start(compile_network(network)["cpe"], stand_in_plan(network, "seoul"))
        yield here


def held(here: World) -> dict[str, str]:
    """Each child with the SPI of its association."""
    return {sa["child"]: sa["spi_in"] for sa in here.tunnels()["up"]["esp"]}


def test_one_that_goes_degrades_and_comes_back_and_the_other_stays(site: World) -> None:
    site.wait_up()
    before = held(site)
    assert set(before) == {"up", LOST}
    with Vici(site.cpe.home / "run/bongsu/libipsec/up.vici") as vici:
        vici.ask("terminate", {"child": LOST, "timeout": "-1"})

    def told() -> list[str]:
        found = site.cpe.events("link-state")
        return [each["cause"] for each in found if each["details"].get("code") == "part"]

    until(told, "the verdict does not say that half is missing", 30)
    assert told()[-1].startswith("nothing carries 10.0.85.0/24 - 172.16.1.0/24")
    until(lambda: LOST in held(site), "what was missing was not asked for", 60)
    site.wait_up()
    assert held(site)["up"] == before["up"]
    assert held(site)[LOST] != before[LOST]
    assert site.tunnels()["up"]["missing"] == []
