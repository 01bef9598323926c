"""GRE009, the advice to keep keepalives at the spokes and not at the hub, before and after it is taken.

The check says of the hub's keepalives that they change nothing about where it sends, and of the
spokes' that they do. One spoke loses the hub in silence, in two labs that differ by the advice.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bongsu.checks import run_checks
from bongsu.intent import load_text
from bongsu.lab.fault import bring_in
from bongsu.lab.lab import Lab
from bongsu.lab.outage import Outage, measure
from bongsu.lab.probe.survey import sources
from bongsu.plan.compile import compile_network
from bongsu.system.run import run

from .conftest import standing

pytestmark = pytest.mark.lab

FILE = Path(__file__).parent / "networks" / "star.yaml"
SERVER = ip_address("172.16.9.10")
DETECTION_MS = 4 * 50
SLACK_MS = 2000
"""The machine may be busy; a spoke that did not notice would be out for ever."""


def advised() -> str:
    """The file with the advice taken: none of the hub's ends sends keepalives."""
    text = FILE.read_text()
    changed = text.replace("1/30]}\n      spoke", "1/30], keepalive: false}\n      spoke")
    assert changed.count("keepalive: false") == 3
    return changed


def codes(text: str) -> list[str]:
    network = load_text(text, FILE.name).network
    return [item.code for item in run_checks(network, compile_network(network))]


@pytest.fixture(scope="module", params=["as it is", "advised"])
def star(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    path = FILE
    if request.param == "advised":
        path = tmp_path_factory.mktemp("star") / FILE.name
        path.write_text(advised())
    yield from standing(path, "t-star")


def out_of_hub(lab: Lab, target: str) -> str:
    """What the hub's kernel says of its way to an address; only what is forwarded is meant."""
    route = run(
        ["ip", "route", "get", target, "from", str(SERVER), "iif", "core"],
        netns=lab.paths.netns("hub"),
        check=False,
    )
    return (route.stdout + route.stderr).strip().splitlines()[0]


def test_the_check_says_so_of_the_hub_alone() -> None:
    assert codes(FILE.read_text()) == ["GRE009"]
    # What it leaves is what GRE003 always says of an end that does not watch, where nothing floats.
    assert "GRE009" not in codes(advised())


def test_the_spoke_turns_to_its_other_way_whoever_else_watches(star: Lab) -> None:
    watching = star.plans["hub"].tunnel("tunnel1").keepalive is not None
    assert " dev tunnel1 " in out_of_hub(star, "172.16.1.10")
    outage: Outage = measure(
        sources(star, SERVER, ["branch"]), lambda: bring_in(star, "silent-loss:hub/eth1").at_ns
    )
    assert outage.recovered
    assert 0 < outage.worst_ms < DETECTION_MS + SLACK_MS
    spoke, hub = (
        {
            event["details"]["state"]
            for event in star.agent(node).call("events")
            if (event["kind"], event["subject"]) == ("line-protocol", "tunnel1")
            and "state" in event["details"]
        }
        for node in ("spoke-1", "hub")
    )
    assert "down" in spoke
    assert ("down" in hub) == watching
    # The hub that knows has no other way: it says unreachable where the other one sends in vain.
    way = out_of_hub(star, "172.16.1.10")
    assert ("tunnel1" in way) != watching
    if watching:
        assert "unreachable" in way.lower()
