"""Document C's network, alive: what follows when a tunnel falls silent, in which order, and back.

The example as it is, but with keepalives every 200 ms in place of 5 s.
"""

import json
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from bongsu.checks import run_checks
from bongsu.intent import load_text
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab, settle
from bongsu.lab.probe.pinger import Pinger
from bongsu.lab.probe.survey import sources
from bongsu.lab.verdict import try_assertion
from bongsu.system.run import run

from .conftest import EXAMPLES, remains

pytestmark = pytest.mark.lab

PATIENCE_S = 20.0
FAST = {
    "keepalive: {seconds: 5, retries: 4}": "keepalive: {milliseconds: 200, retries: 4}",
    "max_ms: 26000": "max_ms: 2000",
}
LAN_B = "172.16.2.0/24"
PC_B = ip_address("172.16.2.10")
PROBES = 20

Event = dict[str, Any]


def network_text(changes: dict[str, str]) -> str:
    text = (EXAMPLES / "gre-keepalive.yaml").read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def raised(text: str, name: str) -> Lab:
    path = EXAMPLES / "gre-keepalive.yaml"
    return raise_lab(load_text(text, path.name).network, path, text, name=name, keep=False)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = raised(network_text(FAST), "t-document-c")
    yield lab
    remove_lab(lab.name)
    assert remains(lab.name) == []


@pytest.fixture
def whole(lab: Lab) -> Iterator[Lab]:
    """The lab with nothing broken, and mended afterwards."""
    yield lab
    for fault in ("silent-loss:tunnel0", "link-down:a/eth0", "link-down:a/eth1"):
        heal(lab, fault)
    assert settle(lab, PATIENCE_S) == []


def events(lab: Lab, node: str) -> list[Event]:
    found: list[Event] = lab.agent(node).call("events", limit=2000)
    return found


def awaited(lab: Lab, node: str, since: int, wanted: Callable[[Event], bool]) -> Event:
    """The first event after `since` that is wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for event in events(lab, node):
            if event["sequence"] > since and wanted(event):
                return event
        if time.monotonic() > deadline:
            pytest.fail(f"{node} tells nothing of it: {events(lab, node)[-20:]}")
        time.sleep(0.02)


def route_by(interface: str, prefix: str = LAN_B) -> Callable[[Event], bool]:
    return lambda event: (
        (event["kind"], event["subject"], event["details"].get("interfaces"))
        == ("route", prefix, [interface])
        and event["details"]["state"] == "there"
    )


def now(lab: Lab, node: str) -> int:
    return int(events(lab, node)[-1]["sequence"])


def carried(lab: Lab, node: str) -> dict[str, int]:
    """Inner packets that the node's tunnel has carried."""
    counters = lab.agent(node).call("counters")["tunnel0"]
    return {way: counters[f"{way}_packets"] for way in ("rx", "tx")}


def left_by(lab: Lab, node: str, interface: str) -> int:
    """Frames that the node has sent by an interface."""
    shown = run(["ip", "-j", "-s", "link", "show", interface], netns=lab.paths.netns(node)).stdout
    return int(json.loads(shown)[0]["stats64"]["tx"]["packets"])


def ways(lab: Lab, host: str) -> tuple[str, str]:
    """By which way probes from a host at `a` go to the other LAN, and by which answers come back."""
    before = {n: (carried(lab, n)["tx"], left_by(lab, n, "eth1")) for n in ("a", "b")}
    (series,) = Pinger(sources(lab, PC_B, [host]), 0.01, PROBES).start().wait()
    assert series.lost == 0
    found = []
    for node, (tunnel, wire) in before.items():
        if carried(lab, node)["tx"] - tunnel == PROBES:
            found.append("tunnel0")
        else:
            assert carried(lab, node)["tx"] == tunnel
            assert left_by(lab, node, "eth1") - wire >= PROBES
            found.append("eth1")
    return found[0], found[1]


def test_what_the_example_promises(lab: Lab) -> None:
    for assertion in lab.network.tests:
        verdict = try_assertion(lab, assertion)
        assert verdict.passed, "\n".join([verdict.title, *verdict.evidence])


def test_each_packet_goes_as_its_route_or_its_policy_says(whole: Lab) -> None:
    assert ways(whole, "pc-a") == ("tunnel0", "tunnel0")
    assert ways(whole, "phone-a") == ("eth1", "tunnel0")


def test_steps_of_a_failover_and_of_the_way_back(whole: Lab) -> None:
    for fall in (True, False):
        before = {node: now(whole, node) for node in ("a", "b")}
        act = bring_in if fall else heal
        act(whole, "silent-loss:tunnel0")
        state, back = ("down", "eth1") if fall else ("up", "tunnel0")
        route = awaited(whole, "a", before["a"], route_by(back))
        trail = [event for event in events(whole, "a") if event["sequence"] > before["a"]]
        line = next(event for event in trail if event["kind"] == "line-protocol")
        link = next(e for e in trail if (e["kind"], e["subject"]) == ("link", "tunnel0"))
        assert line["details"]["state"] == link["details"]["state"] == state
        # The engine stops the data itself; all that follows, follows from the carrier.
        detected, stopped = line["details"]["detected_ns"], line["details"]["stopped_ns"]
        assert detected <= stopped <= line["monotonic_ns"]
        assert stopped <= link["monotonic_ns"] <= route["monotonic_ns"]
        assert link["sequence"] < route["sequence"]
        assert route["details"]["before"] == (
            "by tunnel0 via 10.10.10.2" if fall else "by eth1 via 172.31.0.6"
        )
        # Each end finds out by itself.
        awaited(whole, "b", before["b"], route_by(back, "172.16.1.0/24"))
        assert ways(whole, "pc-a") == (back, back)


def test_a_tunnel_that_is_down_carries_nothing(whole: Lab) -> None:
    before = {node: now(whole, node) for node in ("a", "b")}
    bring_in(whole, "silent-loss:tunnel0")
    awaited(whole, "a", before["a"], route_by("eth1"))
    awaited(whole, "b", before["b"], route_by("eth1", "172.16.1.0/24"))
    counted = {node: carried(whole, node) for node in ("a", "b")}
    (series,) = Pinger(sources(whole, PC_B, ["pc-a"]), 0.01, 50).start().wait()
    assert series.lost == 0
    # Nor what is forced into it, by whoever still believes in it.
    namespace = whole.paths.netns("a")
    run(["ping", "-c", "3", "-i", "0.05", "-W", "1", "-I", "tunnel0", "10.10.10.2"],
        netns=namespace, check=False)  # fmt: skip
    assert {node: carried(whole, node) for node in ("a", "b")} == counted


def test_a_policy_takes_its_next_hops_in_order_and_is_given_up_at_last(whole: Lab) -> None:
    namespace = whole.paths.netns("a")

    def chosen() -> str:
        asked = ["ip", "route", "get", str(PC_B), "from", "172.16.1.200", "iif", "lan"]
        return run(asked, netns=namespace).stdout

    assert ways(whole, "phone-a") == ("eth1", "tunnel0")
    assert "dev eth1 table 1000" in chosen()

    since = now(whole, "a")
    bring_in(whole, "link-down:a/eth1")
    awaited(whole, "a", since, route_by("tunnel0", "0.0.0.0/0"))
    assert ways(whole, "phone-a") == ("tunnel0", "tunnel0")
    assert "dev tunnel0 table 1000" in chosen()

    since = now(whole, "a")
    bring_in(whole, "silent-loss:tunnel0")
    gone = awaited(whole, "a", since, lambda event: (
        (event["kind"], event["subject"]) == ("route", "0.0.0.0/0")
        and event["details"]["state"] == "gone"
    ))  # fmt: skip
    assert gone["details"]["table"] == 1000
    # Nothing is left in its table, so it is the main one that decides.
    run(["ip", "route", "add", LAN_B, "via", "172.31.0.2", "metric", "9999"], netns=namespace)
    try:
        assert "dev eth0" in chosen()
        assert "table" not in chosen()
    finally:
        run(["ip", "route", "del", LAN_B, "metric", "9999"], netns=namespace)


def test_a_wire_that_breaks_is_the_first_step(whole: Lab) -> None:
    since = now(whole, "a")
    bring_in(whole, "link-down:a/eth0")
    moved = awaited(whole, "a", since, route_by("eth1", "192.168.1.2/32"))
    link = awaited(whole, "a", since, lambda event: event["subject"] == "eth0")
    assert (link["kind"], link["cause"]) == ("link", "carrier is gone")
    assert link["sequence"] < moved["sequence"]
    # The tunnel speaks from a loopback, and goes on by the other wire.
    assert ways(whole, "pc-a") == ("tunnel0", "tunnel0")
    fallen = [e for e in events(whole, "a") if e["sequence"] > since and e["kind"] == "carrier"]
    assert fallen == []


def test_recursive_routing_after_failover_is_foretold_and_caught() -> None:
    # Keepalives as they are in the example: fast ones would find it out by themselves.
    spare, default = "192.168.1.2/32, via: 172.31.0.6", "0.0.0.0/0, via: tunnel0"
    text = network_text({spare: default})
    network = load_text(text, "recursive.yaml").network
    name = "t-recursive"
    lab = raised(text, name)
    try:
        foretold = [
            finding for finding in run_checks(network, lab.plans) if "recursive" in finding.message
        ]
        assert foretold, run_checks(network, lab.plans)
        since = now(lab, "a")
        bring_in(lab, "link-down:a/eth0")
        caught = awaited(lab, "a", since, lambda event: event["kind"] == "recursion")
        assert caught["subject"] == "tunnel0"
        assert caught["cause"].startswith("temporarily disabled due to recursive routing")
        (shown,) = lab.agent("a").call("status")["tunnels"]
        assert (shown["line_protocol"], shown["held"]) == ("down", True)
        assert shown["keepalive"]["line_protocol"] == "up", "keepalives alone would not tell"
        # With the tunnel goes the route that led into it, and others serve.
        awaited(lab, "a", since, route_by("eth1"))
        # The far end believes in the tunnel until its own keepalives fail; ours go by the wire.
        before = left_by(lab, "a", "eth1")
        Pinger(sources(lab, PC_B, ["pc-a"]), 0.01, PROBES).start().wait()
        assert left_by(lab, "a", "eth1") - before >= PROBES
    finally:
        remove_lab(name)
    assert remains(name) == []
