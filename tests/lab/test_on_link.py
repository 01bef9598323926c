"""Providers one hop away: sessions without `multihop`, with the gateway and with a neighbor beside it."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bongsu.lab.fault import bring_in
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.system.run import run

from .conftest import answered, standing

pytestmark = pytest.mark.lab

FILE = Path(__file__).parent / "networks" / "on-link.yaml"
WEB, WEB6 = ip_address("103.178.34.10"), ip_address("2001:db8:34::10")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    yield from standing(FILE, "t-on-link")


def test_every_session_comes_up_and_carries_packets(lab: Lab) -> None:
    assert settle(lab, 10) == []
    sessions = {s["name"]: s["established"] for s in lab.agent("edge").call("status")["bgp"]}
    assert [name for name, up in sorted(sessions.items()) if "home" not in name and up] == [
        "external_server6",
        "external_transit",
    ]
    assert answered(lab, "busan", WEB) == 5
    assert answered(lab, "busan", WEB6) == 5


def test_nothing_is_refused_for_its_signature(lab: Lab) -> None:
    for member in ("edge", "cloud"):
        counters = run(["nstat", "-asz", "TcpExtTCPMD5*"], netns=lab.paths.netns(member)).stdout
        wrong = [text.split()[:2] for text in counters.splitlines() if "TCPMD5" in text]
        assert [count for _name, count in wrong] == ["0", "0", "0"], (member, wrong)


def test_neighbors_of_one_network_on_two_ports_reach_each_other(lab: Lab) -> None:
    run(["ping", "-c1", "-W2", "203.0.113.20"], netns=lab.paths.netns("edge"))


def test_what_the_provider_learned_leaves_with_the_link(lab: Lab) -> None:
    """The last of this lab: BIRD waits for a minute before it tries again."""
    bring_in(lab, "link-down:edge")
    # The news travels by BGP, from AS to AS.
    seen = (any("busan: no route to" in text for text in settle(lab, 0.5)) for _ in range(20))
    assert any(seen)
