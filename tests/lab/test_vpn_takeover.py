"""A tunnel to a cloud falls silent: the others announce more-specifics, and traffic returns by them.

With BIRD and certificates in one lab, with FRR and document E's values in the other. Nothing but the
takeover can be as fast: the cloud's own hold time is 18 s or more, and it does not probe.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.lab.outage import measure
from bongsu.lab.probe.survey import sources
from bongsu.system.run import run
from tests.lab.conftest import EXAMPLES, answered, standing

pytestmark = pytest.mark.lab

CERTIFICATES = Path(__file__).parent / "networks" / "vpn-certificates.yaml"
FAST = {
    "    encapsulation: true\n": "    encapsulation: true\n"
    "    probe: {interval_ms: 100, misses: 3}\n",
    "soft_reconfiguration: true}": "soft_reconfiguration: true, deaggregate_on_failure: 17}",
}
HOLD_MS = 18_000
WITHIN_S = 40.0
DEAF = """
table inet deaf {{
  chain hears {{
    type filter hook prerouting priority -500; policy accept;
    {family} saddr {headend} drop
  }}
}}
"""


@pytest.fixture(scope="module", params=["bird", "frr"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    path = CERTIFICATES
    if request.param == "frr":
        text = (EXAMPLES / "hybrid-vpn.yaml").read_text()
        for old, new in FAST.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path_factory.mktemp("vpn") / "fast.yaml"
        path.write_text(text)
    yield from standing(path, f"t-takeover-{request.param}")


def told(lab: Lab, site: str) -> list[bool]:
    events = lab.agent(site).call("events", limit=1000)
    return [event["details"]["on"] for event in events if event["kind"] == "takeover"]


def soon(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def received(lab: Lab, cloud: str) -> dict[str, int]:
    """Prefixes that the cloud has from each session that stands."""
    neighbors = lab.agent(cloud).call("bgp")["neighbors"]
    return {n["description"]: n["received"] for n in neighbors if n["established"]}


def lowered(lab: Lab, site: str) -> list[str]:
    """Tunnels whose routes count less: what is degraded after a fall."""
    return [one["name"] for one in lab.agent(site).call("vpn")["tunnels"] if one["lowered"]]


def kernel_routes(lab: Lab, node: str) -> list[str]:
    shown = run(["ip", "-4", "route", "show", "table", "all"], netns=lab.paths.netns(node)).stdout
    return [word for line in shown.splitlines() for word in line.split()]


def test_both_ways_are_back_before_any_timer_of_the_cloud(lab: Lab) -> None:
    (vpn,) = lab.network.vpns.values()
    first, second = vpn.tunnels
    hosts = lab.network.lab.hosts if lab.network.lab is not None else {}
    here = next(name for name, host in hosts.items() if host.node is not None)
    there = next(name for name, host in hosts.items() if host.cloud is not None)
    target = lab.topology.hosts[there]
    assert answered(lab, here, target) == 5
    assert told(lab, vpn.site) == []
    assert received(lab, vpn.cloud) == {first: 1, second: 1}

    fault = f"silent-loss:{first}"
    outage = measure(sources(lab, target, [here]), lambda: bring_in(lab, fault).at_ns)
    assert outage.recovered
    assert 0 < outage.worst_ms < HOLD_MS / 4
    assert told(lab, vpn.site) == [True]
    assert received(lab, vpn.cloud)[second] == 3
    parts = {str(part) for peer in lab.plans[vpn.site].cloud_peers for part in peer.more_specifics}
    assert len(parts) == 2
    assert not parts & set(kernel_routes(lab, vpn.site)), "they are for the cloud alone"

    heal(lab, fault)
    assert soon(lambda: told(lab, vpn.site) == [True, False])
    assert settle(lab, WITHIN_S) == []
    assert soon(lambda: received(lab, vpn.cloud) == {first: 1, second: 1})
    assert answered(lab, here, target) == 5


def test_so_they_are_where_only_the_clouds_way_is_lost(lab: Lab) -> None:
    """The cloud still hears the site by the dead tunnel: nothing may be said there that keeps it."""
    (vpn,) = lab.network.vpns.values()
    first, second = vpn.tunnels
    hosts = lab.network.lab.hosts if lab.network.lab is not None else {}
    here = next(name for name, host in hosts.items() if host.node is not None)
    there = next(name for name, host in hosts.items() if host.cloud is not None)
    target = lab.topology.hosts[there]
    assert soon(lambda: received(lab, vpn.cloud) == {first: 1, second: 1})
    assert soon(lambda: lowered(lab, vpn.site) == [])
    headend = vpn.tunnels[first].headend
    rules = DEAF.format(family="ip" if headend.version == 4 else "ip6", headend=headend)
    space = lab.paths.netns(vpn.site)

    def deafen() -> int:
        now = time.monotonic_ns()
        run(["nft", "-f", "-"], netns=space, input=rules)
        return now

    try:
        outage = measure(sources(lab, target, [here]), deafen)
    finally:
        run(["nft", "delete", "table", "inet", "deaf"], netns=space)
    assert outage.recovered
    assert 0 < outage.worst_ms < HOLD_MS / 4
    assert settle(lab, WITHIN_S) == []
