"""The command line of the tower, as far as no server is needed, and enrolment's own mistakes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bongsu.cli import agent
from bongsu.cli.tower import app
from bongsu.system.clock import Clock
from bongsu.system.management import split
from bongsu.tower.files import TowerError
from bongsu.tower.store.state import State

runner = CliRunner()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "tower"
    done = runner.invoke(app, ["init", "--host", "2001:db8::1", "--state", str(directory)])
    assert done.exit_code == 0, done.output
    return directory


def test_a_token_is_a_command_to_paste(state: Path) -> None:
    done = runner.invoke(app, ["token", "seoul", "--state", str(state)])
    words = done.output.split()
    assert words[:5] == ["bongsu", "agent", "enroll", "--tower", "[2001:db8::1]:8744"]
    shown = runner.invoke(app, ["token", "seoul", "--state", str(state), "--json", "--valid", "2d"])
    answer = json.loads(shown.output)
    assert answer["node"] == "seoul"
    assert answer["token"] != words[5]
    assert split(answer["tower"]) == ("2001:db8::1", 8744)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["token", "Seoul"], "no name of a node"),
        (["token", "seoul", "--valid", "1y"], "--valid"),
        (["token", "seoul", "--valid", "0m"], "--valid"),
    ],
)
def test_wrong_usage(state: Path, words: list[str], why: str) -> None:
    done = runner.invoke(app, [*words, "--state", str(state)])
    assert done.exit_code == 2
    assert why in done.output


def test_nodes(state: Path) -> None:
    at = ["--state", str(state)]
    assert "no node" in runner.invoke(app, ["nodes", *at]).output
    store = State(state / "state.db")
    now = Clock().utc()
    store.admit("seoul", "01", now.replace(year=now.year + 1), now)
    store.close()
    shown = runner.invoke(app, ["nodes", *at])
    assert "seoul" in shown.output
    assert "never" in shown.output
    (row,) = json.loads(runner.invoke(app, ["nodes", "--json", *at]).output)
    assert (row["name"], row["records"], row["missing"]) == ("seoul", 0, 0)
    assert runner.invoke(app, ["remove", "seoul", *at]).exit_code == 0
    assert json.loads(runner.invoke(app, ["nodes", "--json", *at]).output) == []
    done = runner.invoke(app, ["remove", "seoul", *at])
    assert done.exit_code == 1
    assert "no node seoul" in done.output


def test_where_there_is_no_tower(tmp_path: Path) -> None:
    done = runner.invoke(app, ["nodes", "--state", str(tmp_path)])
    assert isinstance(done.exception, TowerError)
    assert "tower init" in done.exception.hint


@pytest.mark.parametrize(
    "address", ["tower", "tower:", ":1", "tower:0", "tower:65536", "::1:8744", "x:y"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        split(address)
    done = runner.invoke(agent.app, ["enroll", "token", "--tower", address])
    assert done.exit_code == 2
