"""What an interrupted lab leaves behind, and what another version's lab is to us. No namespaces."""

import json
import os
import signal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bongsu.cli import lab as lab_cli
from bongsu.intent import load_text
from bongsu.lab import lifecycle, state
from bongsu.lab.converge import summed_up
from bongsu.lab.state import LabPaths, new_record, read_record, write_record
from bongsu.model.base import Prefix

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"


@pytest.fixture(autouse=True)
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "LABS_DIR", tmp_path / "lab")
    return tmp_path / "lab"


def put(name: str, **changes: Any) -> None:
    """The record and network of a lab that is up."""
    write_record(new_record(name, str(EXAMPLE), keep=True))
    values = {**json.loads(LabPaths(name).record.read_text()), "phase": "up", **changes}
    LabPaths(name).record.write_text(json.dumps(values))
    LabPaths(name).network.write_text(EXAMPLE.read_text())


def status(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(lab_cli, "need_root", lambda: None)
    done = CliRunner().invoke(lab_cli.app, ["status", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("number", lifecycle.ENDING)
def test_nothing_ends_a_removal(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    before = signal.getsignal(number)
    with lifecycle.undisturbed():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_second_interrupt_while_the_lab_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def removed(name: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        steps.append(f"removed {name}")

    monkeypatch.setattr(lifecycle, "_build", interrupted)
    monkeypatch.setattr(lifecycle, "_remove", removed)
    text = EXAMPLE.read_text()
    network = load_text(text, EXAMPLE.name).network
    with pytest.raises(KeyboardInterrupt):
        lifecycle.raise_lab(network, EXAMPLE, text, name="t", keep=True, progress=steps.append)
    assert steps == ["removing the lab", "removed t"]


def test_a_record_of_another_version_is_nobodys_leftover() -> None:
    put("old", colour="blue", owner_pid=0)
    record = read_record("old")
    assert record is not None
    assert (record.phase, record.leftover) == ("foreign", False)


def test_status_goes_on_after_a_lab_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    put("newer", colour="blue")
    put("older")
    LabPaths("older").network.write_text("version: 1\nname: older\nsites: {}\n")
    put("ours")
    monkeypatch.setattr(lifecycle, "settle", lambda lab, _wait: [f"{lab.name} is not settled"])
    rows = {row["lab"]: row for row in json.loads(status(monkeypatch, "--json"))}
    assert {name: row["phase"] for name, row in rows.items()} == {
        "newer": "foreign",
        "older": "foreign",
        "ours": "up",
    }
    assert rows["ours"]["not_settled"] == ["ours is not settled"]
    shown = status(monkeypatch)
    for name in ("newer", "older"):
        assert f"{name}: raised by another version: bongsu lab down --lab {name}\n" in shown


def test_status_cuts_no_name_short(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = "silent-loss:" + "a-tunnel-with-a-name-that-is-longer-than-a-column" * 2
    put("ours", faults={fault: 1.0})
    missing = "busan: " + "everything " * 20 + "is lost"
    monkeypatch.setattr(lifecycle, "settle", lambda _lab, _wait: [missing])
    shown = status(monkeypatch)
    assert f"ours: fault in effect: {fault}\n" in shown
    assert f"ours: not settled: {missing}\n" in shown


def test_many_prefixes_are_one_line_for_those_who_see_the_same() -> None:
    specifics: list[Prefix] = list(IPv4Network("103.178.34.0/23").subnets(new_prefix=24))
    seen = {"busan": specifics, "daegu": specifics, "osaka": specifics[:1], "honolulu": []}
    assert list(summed_up(seen, "{} still announced")) == [
        "busan, daegu: 2 prefixes (103.178.34.0/24 to 103.178.35.0/24) still announced",
        "osaka: 103.178.34.0/24 still announced",
    ]
