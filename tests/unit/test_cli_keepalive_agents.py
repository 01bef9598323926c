"""Whose agents are asked: the machine's own, or those of a lab."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from bongsu.cli import agent, agents
from bongsu.cli import lab as labs
from bongsu.lab.state import LabPaths
from bongsu.system.agent_client import SOCKET_NAME


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / SOCKET_NAME).touch()
    return tmp_path


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    asked: list[str | None] = []

    def open_lab(name: str | None) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(name="x", plans={"a": None, "b": None})

    monkeypatch.setattr(labs, "open_lab", open_lab)
    return asked


def test_the_machines_own_agent_comes_first(state: Path, lab: list[str | None]) -> None:
    found = agents.find_agents(None, None, state)
    assert {name: agent.path for name, agent in found.items()} == {
        agents.THIS_NODE: state / SOCKET_NAME
    }
    assert lab == []


def test_a_lab_that_is_named_is_meant(state: Path, lab: list[str | None]) -> None:
    found = agents.find_agents("x", None, state)
    paths = LabPaths("x")
    assert {name: agent.path for name, agent in found.items()} == {
        "a": paths.agent_socket("a"),
        "b": paths.agent_socket("b"),
    }
    assert lab == ["x"]


def test_a_node_is_one_of_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "STATE", tmp_path)
    assert list(agents.find_agents(None, "b", tmp_path)) == ["b"]
    with pytest.raises(typer.Exit) as error:
        agents.find_agents(None, "c", tmp_path)
    assert error.value.exit_code == 2


def test_a_state_directory_that_is_given_has_to_have_an_agent(
    tmp_path: Path, lab: list[str | None]
) -> None:
    with pytest.raises(typer.Exit) as error:
        agents.find_agents(None, None, tmp_path)
    assert error.value.exit_code == 2
    assert lab == []


def test_events_and_status_are_asked_of_one_node(
    state: Path, lab: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert agent._asked(state, None, None).path == state / SOCKET_NAME
    assert lab == []
    assert agent._asked(state, "x", "b").path == LabPaths("x").agent_socket("b")
    with pytest.raises(typer.Exit) as error:
        agent._asked(state, "x", None)
    assert error.value.exit_code == 2
    assert "--node a, b" in capsys.readouterr().err
