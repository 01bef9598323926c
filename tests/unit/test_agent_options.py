"""One parser of the agent's options, for both of its entries."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bongsu.agent import main as agent_main
from bongsu.agent.options import Arguments, parse
from bongsu.cli import agent as cli
from bongsu.cli.agent import app
from bongsu.system.agent_client import AgentError

WORDS = ["--bundle", "/b", "--state", "/s", "--backend", "xdp", "--purge", "--ready-fd", "7",
         "--relay", "kernel", "--uplink", "/u"]  # fmt: skip
MEANT = Arguments(Path("/b"), Path("/s"), "xdp", True, 7, "kernel", Path("/u"))


def test_every_option() -> None:
    assert parse(WORDS, "x") == MEANT
    assert parse(["--bundle", "/b"], "x") == Arguments(Path("/b"), Path("/run/bongsu"))
    # It is read again after the program has started, from wherever that was.
    assert parse(["--bundle", "b"], "x").bundle == Path.cwd() / "b"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--bundle", "/b", "--backend", "x"],
        ["--bundle", "/b", "--relay", "x"],
        ["--bund", "/b"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(words, "x")
    assert caught.value.code == 2


def test_the_command_line_hands_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Arguments] = []

    def run_agent(arguments: Arguments) -> int:
        started.append(arguments)
        return 3

    monkeypatch.setattr(agent_main, "run_agent", run_agent)
    assert CliRunner().invoke(app, ["run", *WORDS]).exit_code == 3
    assert started == [MEANT]
    assert CliRunner().invoke(app, ["run", "--nonsense"]).exit_code == 2
    shown = CliRunner().invoke(app, ["run", "--help"])
    assert shown.exit_code == 0
    assert "bongsu agent run" in shown.output
    assert "--backend {kernel,ebpf,xdp}" in shown.output


class Client:
    """An agent that takes three questions to end."""

    calls: list[tuple[str, dict[str, Any]]] = []

    def __init__(self, path: Path, timeout_s: float) -> None:
        assert path == Path("/s/agent.sock")

    def call(self, request: str, **arguments: Any) -> Any:
        self.calls.append((request, arguments))
        if len(self.calls) == 4:
            raise AgentError("unreachable", "nobody")
        return {"changes": []}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    Client.calls = []
    monkeypatch.setattr(cli, "AgentClient", Client)
    monkeypatch.setattr(cli, "STOP_POLL_S", 0)
    return Client


def test_apply_asks_the_running_agent(client: type[Client]) -> None:
    done = CliRunner().invoke(app, ["apply", "--bundle", "b", "--state", "/s"])
    assert done.exit_code == 0
    assert '"changes": []' in done.output
    assert client.calls == [("apply", {"bundle": str(Path.cwd() / "b")})]


def test_stop_returns_when_the_agent_has_ended(client: type[Client]) -> None:
    assert CliRunner().invoke(app, ["stop", "--state", "/s", "--purge"]).exit_code == 0
    assert [request for request, _ in client.calls] == ["stop", "events", "events", "events"]
    assert client.calls[0][1] == {"purge": True}


def test_stop_says_when_it_does_not_end(
    client: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "STOP_WITHIN_S", -1.0)
    done = CliRunner().invoke(app, ["stop", "--state", "/s"])
    assert isinstance(done.exception, AgentError)
