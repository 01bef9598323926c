"""`bongsu show keepalive`: a table that fits, words that say what is so, exit codes."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from bongsu.cli.main import app
from bongsu.cli.show import keepalive as command
from bongsu.cli.show.keepalive_table import (
    HEADINGS,
    ago,
    interval,
    quantity,
    round_trips,
    row,
    table,
)
from bongsu.system.agent_client import AgentError
from tests.unit.keepalive_status import FakeAgent, down, tunnel


def run(
    monkeypatch: pytest.MonkeyPatch, agents: dict[str, Any], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(command, "find_agents", lambda *_: agents)
    done = CliRunner().invoke(app, ["show", "keepalive", *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_table_of_one_node() -> None:
    lines = table([row(tunnel()), row(down(name="gre-7", peer="hub"))], 80).plain.splitlines()
    assert [line.rstrip() for line in lines] == [
        "Tunnel  Peer State   Count Every Sent Rcvd Lost RTT ms min/avg/max",
        "tunnel0 b    up/up     0/4   5 s 1204 1203    1     0.12/0.26/13.1",
        "  unchanged for 12 s",
        "gre-7   hub  up/down  44/4   5 s 1204 1203    1     0.12/0.26/13.1",
        "  down for 3 min: 4 keepalives unanswered",
    ]


def test_only_the_state_has_a_colour() -> None:
    text = table([row(tunnel()), row(down(name="gre-7"))], 80)
    coloured = {
        text.plain[span.start : span.end]: span.style for span in text.spans if span.style != "dim"
    }
    assert coloured == {"up/up": "green", "up/down": "bold red"}


def test_what_is_wrong_is_said_below() -> None:
    note = row(
        down(refused={"length": 3, "not_ours": 2_000_000}, send_errors=5, last_error="No route")
    ).note
    assert note == (
        "down for 3 min: 4 keepalives unanswered; 2M refused, mostly not ours; 5 not sent: No route"
    )


def test_a_tunnel_without_keepalive() -> None:
    silent = row(tunnel() | {"keepalive": None})
    assert silent.cells == ("tunnel0", "b", *"-" * (len(HEADINGS) - 2))
    assert silent.note == "no keepalive at this end"


@pytest.mark.parametrize("keepalive", [tunnel()["keepalive"], None])
def test_a_tunnel_that_is_held_is_down_whatever_its_keepalives_say(
    monkeypatch: pytest.MonkeyPatch, keepalive: dict[str, Any] | None
) -> None:
    held = tunnel() | {"held": True, "keepalive": keepalive}
    shown = row(held)
    assert shown.cells[2] == "up/down"
    assert shown.note.startswith("held down, for the way to its peer leads into a tunnel; ")
    assert run(monkeypatch, {"": FakeAgent(held)})[0] == 1


def test_no_reply_yet() -> None:
    assert row(tunnel(rtt_ms=None)).cells[-1] == "-"


WORST = tunnel(
    name="gre-abcdefghi",
    peer="a-node-of-the-longest-name-ever",
    line_protocol="down",
    counter=32767255,
    retries=255,
    interval_ms=32_767_000,
    sent=10**13,
    received=10**12,
    lost=9 * 10**12,
    rtt_ms={"last": 1.0, "min": 12345.6, "avg": 23456.7, "max": 34567.8},
    last_change={"time": "", "state": "down", "cause": "many words " * 20},
)


def test_the_worst_of_tables_fits_80_columns() -> None:
    text = table([row(WORST), row(tunnel())], 80).plain
    assert max(map(len, text.splitlines())) <= 80
    assert "up/down" in text
    assert " 32.8M/255 " in text
    assert WORST["name"] in text.split()
    assert WORST["peer"] in text.split()
    assert text.split().count("words") == 20, "a note is folded, and nothing of it is lost"


@given(
    st.lists(
        st.builds(
            tunnel,
            name=st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True),
            peer=st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True),
            line_protocol=st.sampled_from(["up", "down"]),
            counter=st.integers(0, 999_999),
            retries=st.integers(1, 255),
            interval_ms=st.integers(5, 60_000),
            sent=st.integers(0, 10**15),
            received=st.integers(0, 10**15),
            lost=st.integers(0, 10**15),
            rtt_ms=st.none()
            | st.fixed_dictionaries(
                {key: st.floats(0, 99_999) for key in ("last", "min", "avg", "max")}
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_table_fits_and_every_state_is_whole(tunnels: list[dict[str, Any]]) -> None:
    lines = table([row(one) for one in tunnels], 80).plain.splitlines()
    assert all(len(line) <= 80 for line in lines)
    rows = [line for line in lines[1:] if not line.startswith(" ")]
    for one, line in zip(tunnels, rows, strict=True):
        assert f" up/{one['keepalive']['line_protocol']} " in line
    words = " ".join(" ".join(lines).split())
    assert all(name in words for one in tunnels for name in (one["name"], one["peer"]))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999_999, "999999"), (1_000_000, "1M"), (12_345_678, "12.3M"), (10**9, "1G")],
)
def test_quantity(number: int, text: str) -> None:
    assert quantity(number) == text


@pytest.mark.parametrize("number", [10**k - d for k in range(16) for d in (0, 1)])
def test_no_quantity_is_wide(number: int) -> None:
    assert len(quantity(number)) <= 7


def test_words_of_time() -> None:
    assert [interval(ms) for ms in (5000.0, 100.0, 1500.0, 32_767_000.0)] == [
        "5 s",
        "100 ms",
        "1500 ms",
        "32767 s",
    ]
    assert [ago(s) for s in (0.9, 59.9, 60, 3599, 3600, 86_400 * 3)] == [
        "0 s",
        "59 s",
        "1 min",
        "59 min",
        "1 h",
        "3 d",
    ]
    assert round_trips({"min": 0.001, "avg": 9.999, "max": 123.4}) == "0.00/10.00/123"


def test_several_nodes_have_the_same_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    long = FakeAgent(tunnel(name="gre-abcdefghi"), node="b")
    code, out, _ = run(monkeypatch, {"a": FakeAgent(tunnel()), "b": long})
    assert code == 0
    places = [line.index("up/up") for line in out.splitlines() if "up/up" in line]
    assert len(places) == 2
    assert len(set(places)) == 1
    assert [line for line in out.splitlines() if line in ("a", "b")] == ["a", "b"]


def test_a_tunnel_that_is_down_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, {"": FakeAgent(tunnel())})[0] == 0
    assert run(monkeypatch, {"": FakeAgent(tunnel(), down(name="tunnel1"))})[0] == 1


def test_normal_priority_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.LATE not in run(monkeypatch, {"": FakeAgent(tunnel())})[1]
    slow = FakeAgent(tunnel(scheduler="normal"), tunnel(name="tunnel1", scheduler="normal"))
    assert run(monkeypatch, {"": slow})[1].count(command.LATE) == 1


class DeadAgent:
    def call(self, request: str) -> Any:
        raise AgentError("unreachable", "no agent answers on a socket")


def test_a_node_that_is_silent_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(monkeypatch, {"a": DeadAgent(), "b": FakeAgent(tunnel(), node="b")})
    assert code == 1
    assert "no agent answers" in out
    assert "up/up" in out


def test_json_has_everything_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    agents = {"a": DeadAgent(), "b": FakeAgent(tunnel(), node="b")}
    code, out, _ = run(monkeypatch, agents, "--json")
    assert code == 1
    assert json.loads(out) == [
        {"node": "a", "error": "no agent answers on a socket", "tunnels": []},
        {"node": "b", "error": None, "tunnels": [tunnel()]},
    ]


def test_watch_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run(monkeypatch, {"": FakeAgent(tunnel())}, "--watch", "--json")
    assert code == 2
    assert "choose one" in err


@pytest.mark.parametrize("terminal", [True, False])
def test_watch_looks_again_until_ctrl_c(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    agent = FakeAgent(tunnel())
    turns = iter([None, None])

    def sleep(_: float) -> None:
        agent.status["tunnels"] = [down()]
        if next(turns, "end") == "end":
            raise KeyboardInterrupt

    screen = io.StringIO()
    monkeypatch.setattr(command, "out", Console(file=screen, force_terminal=terminal, width=80))
    monkeypatch.setattr(command.time, "sleep", sleep)
    code, _, _ = run(monkeypatch, {"": agent}, "--watch")
    assert code == 0
    assert screen.getvalue().index("up/up") < screen.getvalue().index("up/down")
    assert screen.getvalue().count("up/down") == 2
