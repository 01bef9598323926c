"""`show keepalive` and `debug keepalive` on a lab's agents: what they say is what happens."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from bongsu.intent import load_text
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab
from tests.lab.conftest import EXAMPLES, Cli, as_json, remains

pytestmark = pytest.mark.lab

NAME = "t-show"
SENT = re.compile(
    r"(a|b): \d\d:\d\d:\d\d\.\d{3}: Tunnel0: sending keepalive, "
    r"192\.168\.1\.[12]->192\.168\.1\.[12] \(len=24 ttl=255\), counter=[1-9]\d*"
)
REPLY = re.compile(
    r"(a|b): \d\d:\d\d:\d\d\.\d{3}: Tunnel0: keepalive received, "
    r"192\.168\.1\.[12]->192\.168\.1\.[12], RTT \d+\.\d{3} ms, resetting counter"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Document C's example with keepalives that a test can wait for."""
    path = EXAMPLES / "gre-keepalive.yaml"
    text = path.read_text().replace("{seconds: 5, retries: 4}", "{milliseconds: 200, retries: 4}")
    assert "milliseconds: 200" in text
    network = load_text(text, path.name).network
    found = raise_lab(network, path, text, name=NAME, keep=False)
    yield found
    remove_lab(found.name)
    assert remains(found.name) == []


def keepalives(cli: Cli, code: int = 0) -> dict[str, dict[str, object]]:
    """What `show keepalive --json` says of tunnel0, by node."""
    answer = as_json(cli("show", "keepalive", "--lab", NAME, "--json", code=code))
    assert isinstance(answer, list)
    return {node["node"]: node["tunnels"][0]["keepalive"] for node in answer}


def test_show_counts_what_both_ends_send(lab: Lab, cli: Cli) -> None:
    before = keepalives(cli)
    # As many lines as two ends that are well print for four rounds.
    cli("debug", "keepalive", "--lab", NAME, "--count", "16")
    after = keepalives(cli)
    assert set(after) == {"a", "b"}
    for node, own in after.items():
        assert own["line_protocol"] == "up"
        assert own["interval_ms"] == 200
        assert own["sent"] >= before[node]["sent"] + 3  # type: ignore[operator]
        assert own["received"] >= before[node]["received"] + 3  # type: ignore[operator]
        # The wire has 5 ms each way.
        assert own["rtt_ms"]["min"] >= 10  # type: ignore[index]
    lines = cli("show", "keepalive", "--lab", NAME).stdout.splitlines()
    assert [line for line in lines if line in ("a", "b")] == ["a", "b"]
    assert sum(" up/up " in line for line in lines) == 2


def test_debug_prints_what_operators_know(lab: Lab, cli: Cli) -> None:
    lines = cli("debug", "keepalive", "tunnel0", "--lab", NAME, "--count", "12").stdout.splitlines()
    assert len(lines) == 12
    assert [line for line in lines if not (SENT.fullmatch(line) or REPLY.fullmatch(line))] == []
    for node in "ab":
        own = [line for line in lines if line.startswith(f"{node}: ")]
        # Every request of a healthy tunnel is answered before the next one leaves.
        kinds = ["sent" if SENT.fullmatch(line) else "reply" for line in own]
        assert all(one != other for one, other in pairwise(kinds))
        assert all("counter=1" in line for line in own if SENT.fullmatch(line))


def test_debug_of_one_node_does_not_name_it(lab: Lab, cli: Cli) -> None:
    out = cli("debug", "keepalive", "--lab", NAME, "--node", "a", "--count", "2").stdout
    assert all(re.match(r"\d\d:", line) for line in out.splitlines())
    assert all("192.168.1.1->192.168.1.2" in line for line in out.splitlines() if "sending" in line)


def test_a_silent_death_and_a_return_are_seen(lab: Lab, cli: Cli) -> None:
    cli("lab", "fault", "--lab", NAME, "silent-loss:a/eth0")
    died = cli("debug", "keepalive", "--lab", NAME, "--node", "a", "--seconds", "3").stdout
    own = keepalives(cli, code=1)["a"]
    shown = cli("show", "keepalive", "--lab", NAME, "--node", "a", code=1).stdout
    assert own["line_protocol"] == "down"
    assert own["counter"] > own["retries"]  # type: ignore[operator]
    assert " up/down " in shown
    assert re.search(r"^  down for \d+ s: 4 keepalives unanswered$", shown, re.MULTILINE)
    cli("lab", "fault", "--lab", NAME, "--heal", "silent-loss:a/eth0")
    back = cli("debug", "keepalive", "--lab", NAME, "--node", "a", "--count", "4").stdout
    assert keepalives(cli)["a"]["line_protocol"] == "up"
    # It keeps counting and sending while it is down.
    counters = [int(found) for found in re.findall(r"counter=(\d+)", died)]
    assert counters == sorted(counters)
    assert len(counters) > 4
    assert "resetting counter" not in died.split("changed state to down")[-1]
    assert "counter=1" in back
