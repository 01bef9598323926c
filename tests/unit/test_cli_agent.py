"""`bongsu agent status` and `events`: tables for people, JSON for machines, nothing told twice."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bongsu.cli import agent as command
from bongsu.cli.agent_view import event_text, status_text
from bongsu.cli.main import app
from bongsu.system.agent_client import AgentClient, AgentError

STATUS: dict[str, Any] = {
    "node": "seoul",
    "network": "anycast",
    "role": "pop",
    "plan": "7b11e8ad0906213a",
    "pid": 4711,
    "uptime_s": 754.2,
    "backend": "ebpf",
    "tunnels": [
        {
            "name": "gre-seoul",
            "peer": "home",
            "line_protocol": "down",
            "bfd": [{"state": "Up"}],
            "mtu": 1468,
            "counters": {"rx_packets": 12, "tx_packets": 3_456_789, "drops": {"key": 1, "ttl": 2}},
        },
        {
            "name": "gre-x",
            "peer": "b",
            "line_protocol": None,
            "bfd": [],
            "mtu": 1476,
            "counters": None,
        },
    ],
    "bgp": [{"name": "vultr", "state": "start", "since": "07:17:35.222", "info": ""}],
    "daemons": [{"name": "bird", "running": True, "uptime_s": 7300.0, "restarts": 2}],
}


def event(sequence: int, born: int = 0, **other: Any) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "time": "2026-01-31T01:19:16.019876+00:00",
        "monotonic_ns": born + sequence,
        "level": "info",
        "kind": "line-protocol",
        "subject": "gre-seoul",
        "cause": "3 keepalives unanswered",
        "details": {"state": "down"},
    } | other


class Ring:
    """An agent's events; each look of a follower finds the next of `looks`, then Ctrl-C."""

    looks: list[list[dict[str, Any]]] = []
    now: list[dict[str, Any]] = []

    def __init__(self, _path: Path, _timeout_s: float) -> None:
        Ring.now = self.looks[0]

    def call(self, request: str, since: int = 0, limit: int = 100) -> Any:
        if request == "status":
            return STATUS
        return [item for item in self.now if item["sequence"] > since][-limit:]

    @classmethod
    def sleep(cls, _seconds: float) -> None:
        cls.looks = cls.looks[1:]
        if not cls.looks:
            raise KeyboardInterrupt
        cls.now = cls.looks[0]


def run(monkeypatch: pytest.MonkeyPatch, *words: str, looks: Any = ([],)) -> Result:
    Ring.looks = list(looks)
    monkeypatch.setattr(command, "AgentClient", Ring)
    monkeypatch.setattr("time.sleep", Ring.sleep)
    return CliRunner().invoke(app, ["agent", *words])


def sequences(done: Result) -> list[int]:
    assert done.exit_code == 0, done.output
    return [int(text.split()[0]) for text in done.stdout.splitlines()]


def test_status_as_tables() -> None:
    assert status_text(STATUS).splitlines() == [
        "seoul of anycast: pop, GRE by ebpf, plan 7b11e8ad0906; agent 4711 up for 12 min",
        "",
        "Tunnel     Peer  Line  BFD   MTU  In    Out  Dropped",
        "gre-seoul  home  down  up   1468  12  3.46M        3",
        "gre-x      b     -     -    1476   -      -        -",
        "",
        "Session  State  Since         BGP",
        "vultr    start  07:17:35.222  -",
        "",
        "Daemon  State    Up for  Restarts",
        "bird    running     2 h         2",
    ]


def test_an_agent_without_a_bundle() -> None:
    nothing = STATUS | {"node": None, "plan": None, "tunnels": [], "bgp": []}
    nothing |= {"daemons": [{"name": "bird", "running": False, "uptime_s": None, "restarts": 0}]}
    shown = status_text(nothing).splitlines()
    assert shown[0] == "no bundle is applied; agent 4711 up for 12 min"
    assert shown[-1].split() == ["bird", "down", "-", "0"]


def test_an_event_is_a_line() -> None:
    assert event_text(event(7)) == (
        "7 2026-01-31 01:19:16.019 info line-protocol gre-seoul: 3 keepalives unanswered (state down)"
    )
    told = {"before": None, "interfaces": ["vti1", "vti2"], "code": None}
    assert event_text(event(7, details=told)).endswith(" (interfaces vti1, vti2)")
    assert event_text(event(8, cause="", subject="", details={})).endswith(" info line-protocol")


def test_text_for_people_and_json_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "status").stdout.startswith("seoul of anycast")
    assert json.loads(run(monkeypatch, "status", "--json").stdout) == STATUS
    looks = [[event(1), event(2)]]
    assert json.loads(run(monkeypatch, "events", "--json", looks=looks).stdout) == looks[0]
    assert sequences(run(monkeypatch, "events", looks=looks)) == [1, 2]
    assert sequences(run(monkeypatch, "events", "--since", "1", looks=looks)) == [2]
    lines = run(monkeypatch, "events", "--json", "--follow", looks=looks).stdout.splitlines()
    assert [json.loads(text) for text in lines] == looks[0]


def test_following_tells_each_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [event(number) for number in range(1, 6)]
    looks = [every[:2], every[:2], every[:3], every]
    assert sequences(run(monkeypatch, "events", "--follow", looks=looks)) == [1, 2, 3, 4, 5]
    looks = [[], every[:1]]
    assert sequences(run(monkeypatch, "events", "--follow", looks=looks)) == [1]


def test_following_goes_on_with_the_next_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [event(number) for number in range(1, 4)]
    new = [event(number, born=1000) for number in range(1, 6)]
    looks = [old, new[:1], new[:2], new]
    assert sequences(run(monkeypatch, "events", "-f", looks=looks)) == [1, 2, 3, 1, 2, 3, 4, 5]
    overtaken = [old, [event(9), event(10)]]
    assert sequences(run(monkeypatch, "events", "-f", looks=overtaken)) == [1, 2, 3, 9, 10]


def test_an_agent_that_is_not_there_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any) -> Any:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr("socket.socket", nowhere)
    with pytest.raises(AgentError) as caught:
        AgentClient(Path("/s/agent.sock")).call("status")
    assert str(caught.value) == "no agent answers on /s/agent.sock: no such file or directory"
