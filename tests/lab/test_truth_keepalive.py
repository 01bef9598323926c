"""What `check` says of keepalives is what the network then does: predicted first, then seen.

One lab: router `a` sends, and beside it stand `b`, of ours, and `c`, in place of an IOS. Each tunnel
differs from a plain one in what one check is about.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bongsu.checks import Finding, run_checks
from bongsu.intent import load_text
from bongsu.lab import lifecycle
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.plan.prediction import Outcome, Prediction, predict_keepalive
from bongsu.protocol.gre_keepalive import Ends, inner
from bongsu.system import netns
from bongsu.system.run import run

from .conftest import remains

pytestmark = pytest.mark.lab

NAME = "t-truth"
PATIENCE_S = 30.0
RETRIES = 4
KEEPALIVE = {"milliseconds": 50, "retries": RETRIES}
SLOW_MS = 100
"""One way over the wire of `slow` and `lost`."""
A, B, B_SLOW, C = "172.31.0.1", "172.31.0.2", "172.31.0.6", "172.31.0.10"
TUNNELS: dict[str, dict[str, Any]] = {
    # name: what is special of the tunnel, and of the far end
    "plain": {},
    "strict": {"far": {"rpf": "strict"}},
    "loose": {"far": {"rpf": "loose"}},
    "shut": {"far": {"inbound": []}},
    "data": {"far": {"inbound": [{"permit": "ip", "from": "172.16.0.0/16"}]}},
    "wrong": {"far": {"inbound": [{"permit": "gre", "from": f"{A}/32", "to": f"{B}/32"}]}},
    "open": {"far": {"inbound": [{"permit": "gre", "from": f"{B}/32", "to": f"{A}/32"}]}},
    "many": {"multipoint": True},
    "guess": {"open": "172.31.0.16", "far": {"inbound": []}},
    "nonce": {
        "open": "172.31.0.20",
        "far": {"inbound": []},
        "keepalive": {**KEEPALIVE, "nonce": True},
    },
    "ios": {"node": "c"},
    "ios-strict": {"node": "c", "far": {"rpf": "strict"}},
    "ios-loose": {"node": "c", "far": {"rpf": "loose"}},
    "slow": {"wire": "eth1"},
    "lost": {"wire": "eth1", "keepalive": {"milliseconds": 5, "retries": 255}},
}


def open_pair(name: str) -> tuple[IPv4Address, IPv4Address]:
    """The outer addresses of a tunnel without a key, a's and b's."""
    first = IPv4Address(TUNNELS[name]["open"])
    return first + 1, first + 2


def network() -> dict[str, Any]:
    """The whole network as values."""
    tunnels: dict[str, Any] = {}
    for number, (name, special) in enumerate(TUNNELS.items(), 1):
        far = special.get("node", "b")
        wire = special.get("wire", "eth2" if far == "c" else "eth0")
        near: dict[str, Any] = {"addresses": [f"10.10.{number}.1/30"], "interface": wire}
        other: dict[str, Any] = {
            "addresses": [f"10.10.{number}.2/30"],
            "interface": "gi0-0" if far == "c" else wire,
            "keepalive": False,
            **special.get("far", {}),
        }
        rest = {key: value for key, value in special.items() if key in ("multipoint", "keepalive")}
        if "open" in special:
            # As it would be over the Internet, where strangers are.
            near["source"], other["source"] = (str(at) for at in open_pair(name))
            rest["insecure"] = True
        else:
            rest["key"] = number
        ends = {"a": near, far: other}
        tunnels[name] = {"keepalive": KEEPALIVE, **rest, "ends": ends, "bgp": False}
    opened = [open_pair(name) for name, special in TUNNELS.items() if "open" in special]
    to_b = [
        {"to": "172.16.2.0/24", "via": "plain"},
        {"to": "172.16.2.0/24", "via": B_SLOW, "distance": 250},
        {"to": "172.16.3.0/24", "via": "many"},
    ]
    to_a = [
        {"to": "172.16.1.0/24", "via": "plain"},
        {"to": "172.16.1.0/24", "via": "172.31.0.5", "distance": 250},
    ]
    return {
        "version": 1,
        "name": "truth",
        "nodes": {
            "a": {
                "role": "router",
                "interfaces": {
                    "eth0": {
                        "role": "link",
                        "addresses": [f"{A}/30", *(f"{at}/30" for at, _ in opened)],
                    },
                    "eth1": {"role": "link", "addresses": ["172.31.0.5/30"]},
                    "eth2": {"role": "link", "addresses": ["172.31.0.9/30"]},
                },
                "routes": to_b,
            },
            "b": {
                "role": "router",
                "interfaces": {
                    "eth0": {
                        "role": "link",
                        "addresses": [f"{B}/30", *(f"{at}/30" for _, at in opened)],
                    },
                    "eth1": {"role": "link", "addresses": [f"{B_SLOW}/30"]},
                },
                "routes": to_a,
            },
            "c": {
                "role": "router",
                "platform": "ios",
                "interfaces": {"gi0-0": {"role": "link", "addresses": [f"{C}/30"]}},
            },
        },
        "tunnels": tunnels,
        "lab": {
            "wires": [
                {"a": "a/eth0", "b": "b/eth0"},
                {"a": "a/eth1", "b": "b/eth1", "delay_ms": SLOW_MS},
                {"a": "a/eth2", "b": "c/gi0-0"},
            ]
        },
    }


@dataclass(frozen=True)
class Foretold:
    """What was said before anything was raised."""

    fates: dict[str, Prediction]
    found: dict[str, list[Finding]]
    """By tunnel, in the table's order."""


@dataclass(frozen=True)
class Truth:
    foretold: Foretold
    lab: Lab

    def tunnel(self, name: str, node: str = "a") -> dict[str, Any]:
        """A tunnel as the node's agent sees it."""
        tunnels: list[dict[str, Any]] = self.lab.agent(node).call("status")["tunnels"]
        return next(item for item in tunnels if item["name"] == name)

    def keepalive(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.tunnel(name)["keepalive"]
        return found

    def after(self, name: str, rounds: int) -> dict[str, Any]:
        """The tunnel's keepalive when that many more requests have gone."""
        first = self.keepalive(name)["sent"]
        seen: dict[str, Any] = until(
            lambda: self.keepalive(name), lambda now: bool(now["sent"] >= first + rounds)
        )
        return seen

    def codes(self, name: str) -> list[str]:
        return [item.code for item in self.foretold.found[name]]

    def changes(self, name: str) -> list[str]:
        """The line protocol's states in the order that they were told."""
        events = self.lab.agent("a").call("events")
        return [
            event["details"]["state"]
            for event in events
            if (event["kind"], event["subject"]) == ("line-protocol", name)
            and "state" in event["details"]
        ]

    def route(self, node: str, target: str) -> str:
        """The interface by which the node's kernel would send to an address."""
        words = ["ip", "-j", "route", "get", target]
        answer = run(words, netns=self.lab.paths.netns(node), check=False).stdout
        return str(json.loads(answer)[0]["dev"]) if answer.startswith("[{") else ""


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not enough(seen := look()):
        assert time.monotonic() < deadline, f"not in time: {seen}"
        time.sleep(0.05)
    return seen


@pytest.fixture(scope="module")
def truth() -> Iterator[Truth]:
    text = json.dumps(network())
    loaded = load_text(text, "truth.yaml").network
    lab = Lab.of(NAME, loaded)
    fates = {}
    for name, special in TUNNELS.items():
        far = special.get("node", "b")
        own, other = (lab.plans[node].tunnel(name) for node in ("a", far))
        fates[name] = predict_keepalive(own, other, loaded.nodes[far].platform)
    found: dict[str, list[Finding]] = {name: [] for name in TUNNELS}
    for finding in run_checks(loaded, lab.plans):
        if finding.path[0] == "tunnels" and finding.code != "GRE003":
            found[str(finding.path[1])].append(finding)
    foretold = Foretold(fates, found)
    with pytest.MonkeyPatch.context() as patch:
        # This lab never settles: half of its tunnels are meant to be down.
        patch.setattr(lifecycle, "SETTLE_WAIT_S", 0.0)
        raised = lifecycle.raise_lab(loaded, Path("truth.yaml"), text, name=NAME, keep=False)
    yield Truth(foretold, raised)
    lifecycle.remove_lab(NAME)
    assert remains(NAME) == []


FORETOLD = {
    # name: outcome, codes
    "plain": (Outcome.WORKS, []),
    "strict": (Outcome.DOWN, ["GRE006"]),
    "loose": (Outcome.WORKS, []),
    "shut": (Outcome.DOWN, ["GRE008"]),
    "data": (Outcome.DOWN, ["GRE008"]),
    "wrong": (Outcome.DOWN, ["GRE008"]),
    "open": (Outcome.WORKS, []),
    "ios": (Outcome.WORKS, []),
    "ios-strict": (Outcome.DOWN, ["GRE006"]),
    "ios-loose": (Outcome.DOWN, ["GRE006"]),
}


@pytest.mark.parametrize("name", FORETOLD)
def test_the_line_is_as_foretold(truth: Truth, name: str) -> None:
    outcome, codes = FORETOLD[name]
    assert (truth.foretold.fates[name].outcome, truth.codes(name)) == (outcome, codes)
    far = TUNNELS[name].get("node", "b")
    if outcome is Outcome.WORKS:
        seen = truth.after(name, 3 * RETRIES)
        assert seen["line_protocol"] == "up"
        assert seen["received"] > 0
        assert truth.tunnel(name, far)["counters"]["keepalives_reflected"] > 0
    else:
        seen = until(lambda: truth.keepalive(name), lambda now: now["line_protocol"] == "down")
        assert truth.after(name, RETRIES)["received"] == 0
        counters = truth.tunnel(name, far)["counters"]
        assert counters["keepalives_reflected"] == 0
        assert counters["drops"]["rx_kept"] >= RETRIES, "they arrived, and were kept"


def test_nothing_is_sent_on_multipoint_gre(truth: Truth) -> None:
    assert truth.foretold.fates["many"].outcome is Outcome.NO_EFFECT
    assert truth.codes("many") == ["GRE010", "LNX001"]
    assert truth.keepalive("many") is None


def test_an_answer_that_is_slower_than_the_detection_time(truth: Truth) -> None:
    """Down at the start, up with the first answer, and then no harm done."""
    (finding,) = truth.foretold.found["slow"]
    assert (finding.code, finding.severity) == ("GRE013", "warning")
    assert "at every start" in finding.message
    until(lambda: truth.changes("slow"), lambda states: states == ["down", "up"])
    seen = truth.after("slow", 3 * RETRIES)
    assert seen["rtt_ms"]["min"] >= 2 * SLOW_MS
    assert (seen["line_protocol"], truth.changes("slow")) == ("up", ["down", "up"])


def test_an_answer_to_a_forgotten_request(truth: Truth) -> None:
    """200 ms there and back is 40 intervals: every answer arrives, and none counts."""
    (finding,) = truth.foretold.found["lost"]
    assert (finding.code, finding.severity) == ("GRE013", "error")
    assert "for ever" in finding.message
    until(lambda: truth.keepalive("lost"), lambda now: now["line_protocol"] == "down")
    # A sender that a busy machine stops for 200 ms has forgotten nothing when the answer comes:
    # what is foretold holds wherever the requests do go out every 5 ms.
    before, seen = until(
        lambda: (truth.keepalive("lost"), truth.after("lost", 200)),
        lambda two: two[0]["received"] == two[1]["received"] and two[1]["line_protocol"] == "down",
    )
    assert seen["refused"]["not_ours"] - before["refused"]["not_ours"] > 100
    assert truth.tunnel("lost", "b")["counters"]["keepalives_reflected"] > 100


def forge(truth: Truth, name: str, nonce: bytes | None) -> None:
    """Answers to every request that there could be, from one who knows the addresses."""
    own, peer = open_pair(name)
    ends = Ends(own, peer, None)
    answers = [inner(ends, number, nonce=nonce) for number in range(1 << 16)]
    stranger = netns.socket_in(
        truth.lab.paths.netns("b"), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
    )
    with stranger:
        for answer in answers:
            stranger.sendto(answer, (str(own), 0))


def test_a_stranger_who_guesses(truth: Truth) -> None:
    """b sends nothing back on either tunnel; what comes is forged."""
    assert "SEC003" in truth.codes("guess")
    assert "SEC003" not in truth.codes("nonce")
    for name in ("guess", "nonce"):
        until(partial(truth.changes, name), lambda states: states[-1:] == ["down"])
    forge(truth, "guess", None)
    assert truth.keepalive("guess")["received"] > 0
    until(lambda: truth.changes("guess"), lambda states: "up" in states)
    for nonce in (None, bytes(8)):
        forge(truth, "nonce", nonce)
    seen = truth.keepalive("nonce")
    assert seen["refused"]["no_nonce"] > 0, "the identification was guessed"
    assert (seen["received"], truth.changes("nonce")) == (0, ["down"])


def test_the_end_without_keepalives_goes_on_sending(truth: Truth) -> None:
    """The wire dies in silence: a turns to the other, b never learns; nor does multipoint GRE."""
    network = truth.lab.network
    (blind,) = [
        finding
        for finding in run_checks(network, truth.lab.plans)
        if finding.code == "GRE003" and finding.path == ("tunnels", "plain", "ends", "b")
    ]
    assert blind.severity == "error"
    assert "what should take over never does" in blind.message

    def ways() -> list[str]:
        asked = (("a", "172.16.2.1"), ("b", "172.16.1.1"), ("a", "172.16.3.1"))
        return [truth.route(node, target) for node, target in asked]

    until(ways, lambda now: now == ["plain", "plain", "many"])
    handle = bring_in(truth.lab, "silent-loss:a/eth0")
    try:
        until(ways, lambda now: now == ["eth1", "plain", "many"])
        before = truth.tunnel("plain", "b")["counters"]["tx_packets"]
        received = truth.tunnel("plain")["counters"]["rx_packets"]
        with netns.socket_in(truth.lab.paths.netns("b"), socket.AF_INET, socket.SOCK_DGRAM) as b:
            for _ in range(10):
                b.sendto(b"into the hole", ("172.16.1.1", 9))
        assert truth.tunnel("plain", "b")["counters"]["tx_packets"] == before + 10
        assert truth.tunnel("plain")["counters"]["rx_packets"] == received
        assert truth.keepalive("plain")["line_protocol"] == "down"
    finally:
        heal(truth.lab, handle.fault)
    until(ways, lambda now: now == ["plain", "plain", "many"])
