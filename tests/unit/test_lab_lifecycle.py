"""What an interrupted lab leaves behind, and what another version's lab is to us. No namespaces."""

import json
import os
import signal
from io import StringIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from bongsu.cli import lab as lab_cli
from bongsu.cli import output
from bongsu.intent import load_text
from bongsu.lab import lifecycle, state
from bongsu.lab.converge import summed_up
from bongsu.lab.lab import Lab
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


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setattr(lab_cli, "need_root", lambda: None)
    return CliRunner().invoke(lab_cli.app, list(words))


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the labs that `down` has removed."""
    names: list[str] = []
    monkeypatch.setattr(lifecycle, "remove_lab", names.append)
    return names


def test_down_takes_what_was_raised_here(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put("ours", source=str(tmp_path / "nets" / "network.yaml"))
    put("another", source="/somewhere/else/network.yaml")
    done = asked(monkeypatch, "down")
    assert (done.exit_code, removed) == (0, ["ours"])
    assert done.stdout == "removed ours\n"


@pytest.mark.parametrize("place", ["work", "work/nets/deep", "/"])
def test_down_leaves_what_was_raised_elsewhere(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], tmp_path: Path, place: str
) -> None:
    """Also where it is the only one: somebody else works on it."""
    (tmp_path / "work/nets/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / place)
    put("another", source=str(tmp_path / "other" / "network.yaml"))
    done = asked(monkeypatch, "down")
    assert (done.exit_code, removed) == (1, [])
    assert "there is another (from " in done.stderr
    assert "bongsu lab down --lab another" in done.stderr
    assert asked(monkeypatch, "down", "--lab", "another").exit_code == 0
    assert removed == ["another"]


def test_down_of_a_file_is_of_what_was_raised_from_it(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put("one", source=str(tmp_path / "one.yaml"))
    put("two", source=str(tmp_path / "two.yaml"))
    assert asked(monkeypatch, "down", "two.yaml").exit_code == 0
    assert removed == ["two"]
    done = asked(monkeypatch, "down", "three.yaml")
    assert (done.exit_code, removed) == (1, ["two"])
    assert "no lab was raised from" in done.stderr
    done = asked(monkeypatch, "down")
    assert (done.exit_code, removed) == (1, ["two"])
    assert ": one, two" in done.stderr


def test_down_leaves_a_lab_that_a_running_command_has(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put("tested", source=str(tmp_path / "network.yaml"), keep=False)
    assert asked(monkeypatch, "down").exit_code == 1
    assert removed == []
    assert asked(monkeypatch, "down", "--all").exit_code == 0
    assert removed == ["tested"]


def test_down_without_any_lab_is_well(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    done = asked(monkeypatch, "down")
    assert (done.exit_code, done.stdout, removed) == (0, "no lab is there\n", [])


def test_a_lab_knows_its_file_from_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def look(lab: Lab, _progress: object) -> None:
        record = read_record(lab.name)
        assert record is not None
        seen.append(record.source)
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "_build", look)
    monkeypatch.chdir(tmp_path)
    text = EXAMPLE.read_text()
    network = load_text(text, EXAMPLE.name).network
    for source in ("nets/a.yaml", "-"):
        with pytest.raises(KeyboardInterrupt):
            lifecycle.raise_lab(network, Path(source), text, name="t", keep=True)
    assert seen == [str(tmp_path / "nets/a.yaml"), "-"]


def test_what_is_not_in_effect_is_not_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "settle", lambda _lab, _wait: [])
    put("ours", faults={"silent-loss:seoul": 1.0})
    done = asked(monkeypatch, "fault", "--heal", "link-down:seoul")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "link-down:seoul is not in effect" in done.stderr
    assert "in effect: silent-loss:seoul" in done.stderr
    done = asked(monkeypatch, "fault", "--heal", "daemon-kill:seoul/bird")
    assert done.exit_code == 1
    assert "started again by its node's agent" in done.stderr
    put("ours")
    done = asked(monkeypatch, "fault", "--heal", "link-down:seoul")
    assert "no fault is in effect in lab ours" in done.stderr


def test_the_status_of_one_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "settle", lambda _lab, _wait: [])
    put("ours")
    put("theirs")
    done = asked(monkeypatch, "status", "--lab", "ours", "--json")
    assert [row["lab"] for row in json.loads(done.stdout)] == ["ours"]
    done = asked(monkeypatch, "status", "--lab", "nobodys")
    assert done.exit_code == 1
    assert "there is no lab nobodys" in done.stderr
    assert "ours, theirs" in done.stderr


def test_status_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: sentences are folded between words, and nothing is left out."""
    name = "a-lab-with-a-long-name-x"
    source = "/home/somebody/networks/hybrid-vpn.yaml"
    missing = (
        "cpe: vti1 is down: the far end does not answer IKE: " + "is it there, " * 8 + "or not"
    )
    put(name, faults={"silent-loss:vti1": 1.0}, source=source, raised_s=1111.12)
    monkeypatch.setattr(lifecycle, "settle", lambda _lab, _wait: [missing])
    page = Console(file=StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(output, "out", page)
    monkeypatch.setattr(lab_cli, "out", page)
    status(monkeypatch)
    assert isinstance(page.file, StringIO)
    lines = page.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    for told in (name, source, "1111.12", "silent-loss:vti1", *missing.split()):
        assert told in words, told
