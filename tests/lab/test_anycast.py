"""Document A's network, alive: who is served by whom, what is promised, and what must not arrive."""

import json
import threading
import time
from ipaddress import IPv4Address, IPv4Network, ip_address

import pytest

from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.lab.member import inhabitants
from bongsu.lab.outage import measure
from bongsu.lab.probe.survey import sources, survey
from bongsu.lab.state import LabError
from bongsu.lab.verdict import try_assertion
from bongsu.model.assertion import Entry, Outage, Path, Reach, Unreachable
from bongsu.system.netns import socket_in
from bongsu.system.run import run

pytestmark = pytest.mark.lab

WEB = ip_address("103.178.34.10")
NEAR = {
    "busan": "seoul",
    "daegu": "seoul",
    "vladivostok": "seoul",
    "osaka": "tokyo",
    "honolulu": "tokyo",
    "singapore": "tokyo",
}


def test_six_vantage_points_enter_at_the_nearer_pop(anycast: Lab) -> None:
    result = survey(anycast, WEB, count=20, interval_s=0.02)
    assert {look.vantage: look.pop for look in result.looks} == NEAR
    assert all(look.lost == 0 for look in result.looks)
    assert result.proved
    for look in result.looks:
        assert look.as_path[-2:] == (65551, 64500)
        assert look.min_ms is not None
        assert look.max_ms is not None
        assert 0 < look.min_ms <= (look.avg_ms or 0) <= look.max_ms
        # the tunnel hides the Internet between PoP and home: home comes right after the PoP
        owners = [anycast.pop_of(ip_address(hop)) if hop else None for hop in look.hops]
        assert owners.index(NEAR[look.vantage]) == len(look.hops) - 2


def test_counters_are_no_proof_when_they_miss_packets(
    anycast: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(anycast), "entered", lambda self: {"seoul": 0, "tokyo": 0})
    assert not survey(anycast, WEB, count=3, interval_s=0.01).proved


def touches(packet: bytes, prefix: IPv4Network) -> bool:
    """Whether an IPv4 packet's source or destination is in the prefix."""
    return len(packet) >= 20 and any(IPv4Address(packet[at : at + 4]) in prefix for at in (12, 16))


def test_replies_never_leave_home_in_clear(anycast: Lab) -> None:
    """On home's uplink there is GRE and nothing else from or to the prefix."""
    prefix = IPv4Network("103.178.34.0/23")
    seen: list[bytes] = []
    wire = socket_in(anycast.paths.netns("isp-home"), 17, 3, 0)  # AF_PACKET, SOCK_RAW
    wire.bind(("to-home", 0x0003))
    wire.settimeout(0.2)
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            try:
                seen.append(wire.recv(2048))
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    survey(anycast, WEB, count=10, interval_s=0.02)
    done.set()
    thread.join()
    wire.close()
    four = [frame[14:] for frame in seen if frame[12:14] == b"\x08\x00"]
    clear = [packet for packet in four if touches(packet, prefix)]
    # outer header 20 bytes, GRE with key 8
    inside = [packet for packet in four if packet[9] == 47 and touches(packet[28:], prefix)]
    assert clear == []
    assert len(inside) >= 60


def test_a_spoofed_source_does_not_come_out_of_the_tunnel(anycast: Lab) -> None:
    """Home may send only from the prefix into the Internet by the PoP; anything else dies there."""
    result = try_assertion(
        anycast, Unreachable.model_validate({"expect": "unreachable", "to": "10.99.2.2"})
    )
    assert result.passed, result.evidence


@pytest.mark.parametrize("number", range(7))
def test_what_the_example_promises(anycast: Lab, number: int) -> None:
    verdict = try_assertion(anycast, anycast.network.tests[number])
    assert verdict.passed, "\n".join([verdict.title, *verdict.evidence])


@pytest.mark.parametrize(
    "wrong",
    [
        Reach.model_validate({"expect": "reach", "to": "103.178.34.77"}),
        Reach.model_validate({"expect": "reach", "from": ["osaka"], "to": "web", "max_rtt_ms": 1}),
        Entry.model_validate({"expect": "entry", "from": ["busan"], "to": "web", "pop": "tokyo"}),
        Path.model_validate({"expect": "path", "from": ["busan"], "to": "web", "as_path": [1]}),
        Unreachable.model_validate({"expect": "unreachable", "to": "web"}),
        Outage.model_validate(
            {"expect": "outage", "to": "web", "fault": "silent-loss:home", "max_ms": 1}
        ),
    ],
    ids=lambda wrong: wrong.expect,
)
def test_a_broken_promise_is_seen(
    anycast: Lab, wrong: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bongsu.lab.verdict.OUTAGE_LIMIT_S", 2.0)
    verdict = try_assertion(anycast, wrong)
    assert not verdict.passed
    assert verdict.evidence


def test_a_dead_tunnel_withdraws_the_announcement(anycast: Lab) -> None:
    """Only the tunnel dies; the PoP and its session live. Its provider must lose the prefix."""
    target = sources(anycast, WEB)
    outage = measure(target, lambda: bring_in(anycast, "silent-loss:gre-seoul").at_ns)
    try:
        with anycast.router("cloud-icn") as bird:
            routes = bird.routes("for 103.178.34.0/23 protocol s_seoul_vultr")
        assert routes == []
        assert outage.recovered
        result = survey(anycast, WEB, count=5, interval_s=0.02)
        assert {look.pop for look in result.looks} == {"tokyo"}
    finally:
        heal(anycast, "silent-loss:gre-seoul")
        assert settle(anycast, 30) == []


def test_a_killed_daemon_comes_back(anycast: Lab) -> None:
    before = {p.pid for p in inhabitants([anycast.paths.netns("tokyo")]) if p.name == "bird"}
    bring_in(anycast, "daemon-kill:tokyo/bird")
    assert settle(anycast, 30) == []
    after = {p.pid for p in inhabitants([anycast.paths.netns("tokyo")]) if p.name == "bird"}
    assert after
    assert not after & before
    events = anycast.agent("tokyo").call("events", limit=2000)
    assert any("bird" in json.dumps(event) and "SIGKILL" in json.dumps(event) for event in events)


def test_a_killed_agent_is_started_again_with_all_that_it_runs(anycast: Lab) -> None:
    space = anycast.paths.netns("tokyo")
    before = {p.pid for p in inhabitants([space])}
    bring_in(anycast, "daemon-kill:tokyo/agent")
    assert settle(anycast, 60) == []
    after = inhabitants([space])
    assert "bird" in {p.name for p in after}
    assert not {p.pid for p in after} & before
    with pytest.raises(LabError) as refused:
        bring_in(anycast, "daemon-kill:tokyo/python")
    assert refused.value.hint == "it runs agent, bird"


def test_what_is_run_at_a_vantage_point_speaks_from_its_own_address(anycast: Lab) -> None:
    """And not from the link's, to which nobody has a route."""
    (own,) = anycast.topology.vantages["busan"].values()
    chosen = run(["ip", "-4", "route", "get", str(WEB)], netns=anycast.paths.netns("busan"))
    assert f"src {own} " in chosen.stdout


def test_link_down_and_up(anycast: Lab) -> None:
    target = sources(anycast, WEB, ["busan"])
    outage = measure(target, lambda: bring_in(anycast, "link-down:seoul/ens3").at_ns)
    heal(anycast, "link-down:seoul/ens3")
    assert outage.recovered
    assert settle(anycast, 30) == []


@pytest.mark.parametrize(
    "fault",
    [
        "silent-loss:nobody",
        "link-down:seoul/eth9",
        "node-kill:web",
        "daemon-kill:seoul/named",
        "rain",
    ],
)
def test_faults_that_name_nothing_are_refused(anycast: Lab, fault: str) -> None:
    with pytest.raises(LabError):
        bring_in(anycast, fault)
    assert settle(anycast, 0) == []


def test_events_say_why_and_in_which_order(anycast: Lab) -> None:
    """BFD moves the traffic at once, the keepalive agrees some seconds later, and BGP tells others."""
    tokyo = anycast.agent("tokyo")
    since = tokyo.call("events")[-1]["sequence"]

    def trail() -> list[tuple[str, str, str]]:
        found = [e for e in tokyo.call("events", limit=2000) if e["sequence"] > since]
        return [(e["kind"], e["subject"], e["details"].get("state")) for e in found]

    bring_in(anycast, "silent-loss:gre-tokyo")
    try:
        deadline = time.monotonic() + 20  # keepalive of the example: 1 s, 3 retries
        while ("link", "gre-tokyo", "down") not in trail() and time.monotonic() < deadline:
            time.sleep(0.1)
        steps = [
            trail().index(step)
            for step in (
                ("route", "103.178.34.0/23", "there"),  # into nothing, until BGP has told all
                ("line-protocol", "gre-tokyo", "down"),
                ("link", "gre-tokyo", "down"),
            )
        ]
        assert steps == sorted(steps), trail()
        moved = next(e for e in tokyo.call("events", limit=2000) if e["sequence"] > since
                     and e["subject"] == "103.178.34.0/23")  # fmt: skip
        assert moved["cause"] == "refused"
        assert moved["details"]["before"] == "by gre-tokyo via 10.99.2.2"
        with anycast.router("cloud-nrt") as bird:
            assert bird.routes("for 103.178.34.0/23 protocol s_tokyo_vultr") == []
    finally:
        heal(anycast, "silent-loss:gre-tokyo")
        assert settle(anycast, 30) == []
    assert ("link", "gre-tokyo", "up") in trail()
    back = [step for step in trail() if step[:2] == ("route", "103.178.34.0/23")]
    assert back[-1][2] == "there"
