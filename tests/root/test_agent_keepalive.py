"""Two agents and a veth between them: keepalives up, silence, carrier gone, back again."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bongsu.system.agent_client import AgentError
from tests.root.agent_box import Box, boxes, cable, example, until

pytestmark = pytest.mark.root


def watched_by_keepalive_only(data: dict[str, Any]) -> None:
    for tunnel in data["tunnels"].values():
        tunnel["bfd"] = None


def watched_by_nothing(data: dict[str, Any]) -> None:
    for tunnel in data["tunnels"].values():
        tunnel["bfd"] = tunnel["keepalive"] = None


@dataclass
class Pair:
    """Seoul and home, and what is between them: a bridge that can lose everything."""

    seoul: Box
    home: Box
    between: Box

    def silence(self, on: bool) -> None:
        """Lose every packet in both directions; no carrier changes, no sender notices."""
        master = "nomaster" if on else "master wire"
        self.between.ip(f"link set towards-home {master}")

    def __iter__(self) -> Iterator[Box]:
        return iter((self.seoul, self.home))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Each is the other's gateway."""
    with boxes(tmp_path, "seoul", "home", "between") as (seoul, home, between):
        cable(seoul, "ens3", between, "towards-seoul")
        cable(home, "wan", between, "towards-home")
        cable(home, "lan", between, "lan")
        between.ip("link add wire type bridge")
        between.ip("link set wire up")
        for port in ("towards-seoul", "towards-home"):
            between.ip(f"link set {port} master wire")
        seoul.ip("addr add 203.0.113.10/24 dev ens3")
        seoul.ip("addr add 192.0.2.1/24 dev ens3")
        home.ip("addr add 192.0.2.10/24 dev wan")
        home.ip("addr add 203.0.113.1/24 dev wan")
        home.ip("addr add 103.178.34.1/23 dev lan")
        plans = example(watched_by_keepalive_only)
        for box, node in ((seoul, "seoul"), (home, "home")):
            box.start(box.bundle(plans[node]))
        seoul.wait_ready()
        home.wait_ready()
        yield Pair(seoul, home, between)


def tunnel(box: Box) -> dict[str, Any]:
    found = box.client.call("status")["tunnels"]
    return next(tunnel for tunnel in found if tunnel["name"] == "gre-seoul")


def test_silence_takes_the_line_and_the_carrier_down(pair: Pair) -> None:
    seoul = pair.seoul
    for box in pair:
        until(lambda box=box: tunnel(box)["keepalive"]["received"] >= 2, "no keepalive answered")
        assert tunnel(box)["line_protocol"] == "up"
    until(lambda: session(seoul)["established"], "no iBGP over the tunnel")
    assert "dev gre-seoul" in until(lambda: carried(seoul), "no route into the tunnel")

    pair.silence(True)
    for box in pair:
        until(lambda box=box: tunnel(box)["line_protocol"] == "down", "silence went unnoticed")
        until(lambda box=box: "NO-CARRIER" in link(box), "the carrier stayed")
        (event,) = [e for e in box.events("line-protocol") if e["subject"] == "gre-seoul"]
        assert (event["cause"], event["details"]["state"]) == ("3 keepalives unanswered", "down")
    # Nothing vouches for the prefix any more: what is left is the blackhole.
    until(lambda: "blackhole" in seoul.ip("route show 103.178.34.0/23"), "the route stayed")
    assert not carried(seoul)

    pair.silence(False)
    for box in pair:
        until(lambda box=box: tunnel(box)["line_protocol"] == "up", "it did not come back")
        until(lambda box=box: "NO-CARRIER" not in link(box), "the carrier stayed away")
    assert until(lambda: carried(seoul), "the route did not come back")


def test_a_new_agent_knows_that_the_line_is_down(pair: Pair) -> None:
    seoul = pair.seoul
    pair.silence(True)
    until(lambda: tunnel(seoul)["line_protocol"] == "down", "silence went unnoticed")
    until(lambda: "NO-CARRIER" in link(seoul), "the carrier stayed")
    seoul.client.call("stop")
    assert seoul.wait_end() == 0
    seoul.start("/run/bundle")
    seoul.wait_ready()
    assert tunnel(seoul)["line_protocol"] == "down"
    assert "NO-CARRIER" in link(seoul)


def test_a_killed_agent_leaves_nothing_but_the_line_as_it_was(pair: Pair) -> None:
    """The thread dies with its process; data stays stopped until the next agent hears the peer."""
    seoul = pair.seoul
    pair.silence(True)
    until(lambda: tunnel(seoul)["line_protocol"] == "down", "silence went unnoticed")
    until(lambda: "NO-CARRIER" in link(seoul), "the carrier stayed")
    os.kill(seoul.agent_pid(), signal.SIGKILL)
    assert seoul.wait_end() != 0
    assert seoul.processes() == []
    pair.silence(False)
    seoul.start("/run/bundle")
    seoul.wait_ready()
    until(lambda: tunnel(seoul)["line_protocol"] == "up", "it did not come back")
    until(lambda: "NO-CARRIER" not in link(seoul), "the carrier stayed away")
    assert tunnel(seoul)["keepalive"]["counter"] <= 1


def test_a_file_without_keepalives_lets_go_of_what_they_held(pair: Pair) -> None:
    """The line was down when the agent died, and nobody will ever hear the peer again."""
    seoul = pair.seoul
    pair.silence(True)
    until(lambda: tunnel(seoul)["line_protocol"] == "down", "silence went unnoticed")
    until(lambda: "NO-CARRIER" in link(seoul), "the carrier stayed")
    os.kill(seoul.agent_pid(), signal.SIGKILL)
    assert seoul.wait_end() != 0
    pair.silence(False)
    seoul.start(seoul.bundle(example(watched_by_nothing)["seoul"], "silent"))
    seoul.wait_ready()
    assert tunnel(seoul)["keepalive"] is None
    assert "NO-CARRIER" not in link(seoul)
    ping = ("ping", "-c", "1", "-W", "1", "10.99.1.2")
    until(lambda: " 1 received" in seoul.text(*ping), "the tunnel carries nothing")


def test_what_is_known_of_a_session(pair: Pair) -> None:
    for box in pair:
        until(lambda box=box: tunnel(box)["keepalive"]["received"] >= 2, "no keepalive answered")
    until(lambda: tunnel(pair.seoul)["keepalive"]["reflected"] >= 1, "the peer's went back")
    told = tunnel(pair.seoul)["keepalive"]
    # the first may have been sent before there was anybody
    assert 0 <= told["sent"] - told["received"] - told["lost"] <= 1
    assert told["counter"] <= 1
    assert 0 < told["rtt_ms"]["min"] <= told["rtt_ms"]["avg"] <= told["rtt_ms"]["max"]
    assert (told["scheduler"], told["dialect"], told["last_change"]) == ("fifo", "cisco", None)
    assert (told["refused"], told["send_errors"], told["last_error"]) == ({}, 0, "")


def test_debug_is_on_while_a_lease_lasts(pair: Pair) -> None:
    client = pair.seoul.client

    def lines(seconds: float, since: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.call("keepalive_debug", since=since, seconds=seconds)[
            "lines"
        ]
        return found

    assert lines(0) == []
    until(lambda: {"sent", "reply"} <= {line["event"] for line in lines(1)}, "no lines")
    sent = next(line for line in lines(0) if line["event"] == "sent")
    assert (sent["tunnel"], sent["local"], sent["remote"]) == (
        "gre-seoul", "203.0.113.10", "192.0.2.10",
    )  # fmt: skip
    assert (sent["length"], sent["ttl"]) == (28, 255)
    known = lines(0)[-1]["sequence"]
    assert all(line["sequence"] > known for line in lines(0, known))

    def quiet() -> bool:
        before = tunnel(pair.seoul)["keepalive"]["sent"]
        last = lines(0)[-1]["sequence"]
        until(lambda: tunnel(pair.seoul)["keepalive"]["sent"] > before, "requests go on")
        return bool(lines(0)[-1]["sequence"] == last)

    until(quiet, "the lease does not end")
    with pytest.raises(AgentError, match="between 0 and 60"):
        lines(61)


def test_each_step_of_a_change_has_its_time(pair: Pair) -> None:
    seoul = pair.seoul
    until(lambda: tunnel(seoul)["keepalive"]["received"] >= 1, "no keepalive answered")
    pair.silence(True)
    until(lambda: seoul.events("carrier"), "the carrier stayed")
    (line,) = (e for e in seoul.events("line-protocol") if e["subject"] == "gre-seoul")
    carrier = next(e for e in seoul.events("carrier") if "detected_ns" in e["details"])
    times = [line["details"]["detected_ns"], line["details"]["stopped_ns"], carrier["monotonic_ns"]]
    assert times == sorted(times)
    told = tunnel(seoul)["keepalive"]["last_change"]
    assert (told["state"], told["cause"]) == ("down", "3 keepalives unanswered")


def test_forged_replies_do_not_keep_a_line_up(pair: Pair) -> None:
    """Home's own address, the right key, but not what we sent."""
    import socket
    from ipaddress import IPv4Address

    from bongsu.protocol.gre_keepalive import Ends, request
    from bongsu.system import netns

    seoul = pair.seoul
    ends = Ends(IPv4Address("203.0.113.10"), IPv4Address("192.0.2.10"), 1)
    forged = request(ends, 0)[28:]
    sender = netns.socket_in(pair.home.netns, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with sender:
        for _ in range(10):
            sender.sendto(forged, ("203.0.113.10", 0))

    def refused() -> bool:
        counts = seoul.client.call("status")["keepalive_refused"]
        return bool(counts == {"not_ours": 10})

    until(refused, "forged replies were not refused")


def session(box: Box) -> dict[str, Any]:
    found = box.client.call("status")["bgp"]
    return next(entry for entry in found if entry["name"] == "internal4_gre_seoul")


def carried(box: Box) -> str:
    return "".join(
        line for line in box.ip("-o route show 103.178.34.0/23").splitlines() if "dev gre" in line
    )


def link(box: Box) -> str:
    return box.ip("-o link show dev gre-seoul")
