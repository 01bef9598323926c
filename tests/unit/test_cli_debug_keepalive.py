"""`bongsu debug keepalive`: the lines that operators know, each once, in order, until Ctrl-C."""

from typing import Any

import pytest
from typer.testing import CliRunner

from bongsu.cli.debug import keepalive as command
from bongsu.cli.debug.keepalive_lines import clock, interface, line
from bongsu.cli.main import app
from bongsu.system.agent_client import AgentError
from tests.unit.keepalive_status import FakeAgent, tunnel


def record(sequence: int, event: str = "sent", **changes: Any) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "time": f"2026-01-31T01:19:{sequence % 60:02}.019876+00:00",
        "monotonic_ns": sequence * 1_000_000,
        "tunnel": "tunnel0",
        "event": event,
        "local": "192.168.1.1",
        "remote": "192.168.1.2",
        "length": 24,
        "ttl": 255,
        "counter": 1,
        "rtt_ns": 1_234_000,
        "state": "down",
    } | changes


def run(
    monkeypatch: pytest.MonkeyPatch, agents: dict[str, FakeAgent], *words: str
) -> tuple[int, list[str], str]:
    monkeypatch.setattr(command, "find_agents", lambda *_: agents)
    monkeypatch.setattr(command.time, "sleep", lambda _: None)
    done = CliRunner().invoke(app, ["debug", "keepalive", *words])
    return done.exit_code, done.stdout.splitlines(), done.stderr


def agent(*answers: list[dict[str, Any]], node: str = "a") -> FakeAgent:
    fake = FakeAgent(tunnel(), tunnel(name="gre-7"), node=node)
    fake.answers = list(answers)
    return fake


def test_the_lines_of_cisco() -> None:
    assert line(record(16)) == (
        "01:19:16.019: Tunnel0: sending keepalive, 192.168.1.1->192.168.1.2 "
        "(len=24 ttl=255), counter=1"
    )
    assert line(record(16, "reply")) == (
        "01:19:16.019: Tunnel0: keepalive received, 192.168.1.2->192.168.1.1, "
        "RTT 1.234 ms, resetting counter"
    )
    assert line(record(16, "line")) == (
        "01:19:16.019: %LINEPROTO-5-UPDOWN: Line protocol on Interface Tunnel0, "
        "changed state to down"
    )
    assert line(record(16, "line", state="up")).endswith("changed state to up")


def test_an_event_that_nobody_knows_is_our_fault() -> None:
    with pytest.raises(KeyError):
        line(record(1, "guess"))


def test_only_a_numbered_tunnel_has_ciscos_name() -> None:
    assert [interface(name) for name in ("tunnel0", "tunnel12", "tunnel", "tunnel-1", "gre-7")] == [
        "Tunnel0",
        "Tunnel12",
        "tunnel",
        "tunnel-1",
        "gre-7",
    ]


def test_the_clock_has_milliseconds() -> None:
    assert clock("2026-01-31T01:19:16.019876+00:00") == "01:19:16.019"


def test_lines_once_and_none_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = agent([record(4), record(5)], [record(6)], [], [record(7, "reply"), record(8, "line")])
    code, lines, err = run(monkeypatch, {"": fake})
    assert code == 0
    assert [text[:12] for text in lines] == ["01:19:06.019", "01:19:07.019", "01:19:08.019"]
    assert "Tunnel keepalive debugging is on" in err
    assert [asked["since"] for asked in fake.asked] == [0, 5, 6, 6, 8]
    assert {asked["seconds"] for asked in fake.asked} == {command.LEASE_S}


def test_one_tunnel_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tunnel0", "Tunnel0"):
        fake = agent([], [record(1), record(2, tunnel="gre-7"), record(3)])
        lines = run(monkeypatch, {"": fake}, name)[1]
        assert [text[:12] for text in lines] == ["01:19:01.019", "01:19:03.019"]


def test_an_unknown_tunnel_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run(monkeypatch, {"": agent()}, "tunnel9")
    assert code == 2
    assert "there are: tunnel0, gre-7" in err


def test_count_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = agent([], [record(1), record(2)], [record(3), record(4)], [record(5)])
    assert len(run(monkeypatch, {"": fake}, "--count", "3")[1]) == 3
    assert fake.answers == [[record(5)]]


def test_seconds_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(command.time, "monotonic", lambda: next(now))
    fake = agent([], [record(1)], [record(2)], [record(3)], [record(4)])
    assert len(run(monkeypatch, {"": fake}, "--seconds", "2")[1]) == 2


def test_what_the_ring_has_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = run(monkeypatch, {"": agent([record(1)], [record(2)], [record(9), record(10)])})[1]
    assert lines[1] == "... 6 lines were overtaken"
    assert len(lines) == 4


def test_several_nodes_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    late = "2026-01-31T01:19:03.019876+00:00"
    first = [record(1), record(2, time=late, monotonic_ns=3_000_000)]
    between = [record(1, time="2026-01-31T01:19:02.019876+00:00", monotonic_ns=2_000_000)]
    agents = {"a": agent([], first), "b": agent([], between, node="b")}
    lines = run(monkeypatch, agents, "--count", "3")[1]
    assert [text[:15] for text in lines] == [
        "a: 01:19:01.019",
        "b: 01:19:02.019",
        "a: 01:19:03.019",
    ]


class Dying(FakeAgent):
    """Answers as often as it has answers, and then no more."""

    def call(self, request: str, **arguments: Any) -> Any:
        if request != "status" and not self.answers:
            raise AgentError("unreachable", "no agent answers on a socket")
        return super().call(request, **arguments)


class Dead(FakeAgent):
    def call(self, request: str, **arguments: Any) -> Any:
        raise AgentError("unreachable", "no agent answers on a socket")


def test_a_node_that_is_silent_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever debugs keepalives has perhaps just killed one."""
    dying = Dying(tunnel(), node="b")
    dying.answers = [[], [record(1)]]
    agents = {"a": agent([], [record(1)], [record(2)], [record(3)]), "b": dying, "c": Dead()}
    code, lines, told = run(monkeypatch, agents, "--count", "4")
    assert code == 0
    assert [text[:15] for text in lines] == [
        f"{node}: 01:19:0{second}.019" for node, second in (("a", 1), ("b", 1), ("a", 2), ("a", 3))
    ]
    assert [text for text in told.splitlines() if "no agent" in text] == [
        "c: no agent answers on a socket",
        "b: no agent answers on a socket",
    ]


@pytest.mark.parametrize("agents", [{"": Dead()}, {"a": Dead(), "b": Dead()}])
def test_where_nobody_answers_it_is_an_error(
    monkeypatch: pytest.MonkeyPatch, agents: dict[str, FakeAgent]
) -> None:
    monkeypatch.setattr(command, "find_agents", lambda *_: agents)
    done = CliRunner().invoke(app, ["debug", "keepalive"])
    assert isinstance(done.exception, AgentError)
