"""bongsu mtr and bongsu compare in the anycast lab: from any member to any other."""

import json
import re
from pathlib import Path

import pytest

from bongsu.lab.lab import Lab
from bongsu.lab.probe.ends import lab_ends, members
from bongsu.lab.probe.measure import read_kept
from bongsu.lab.state import LabError
from tests.lab.conftest import Cli, as_json

pytestmark = pytest.mark.lab

SEOUL, HOME, WEB = "203.0.113.10", "192.0.2.10", "103.178.34.10"
LINE = re.compile(r"^ {1,2}\d+\.\|-- \S+ +\d+\.\d%? +\d+( +\d+\.\d){5}$")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "bongsu" / "mtr"


def test_a_vantage_points_path_enters_at_its_pop(anycast: Lab, cli: Cli, state: Path) -> None:
    ask = ("mtr", "busan", "web", "--lab", anycast.name, "-c", "40", "-i", "10ms", "--json")
    found = json.loads(cli(*ask).stdout)
    hosts = [next(iter(hop["addresses"]), None) for hop in found["hops"]]
    assert hosts[-3:] == [SEOUL, HOME, WEB]
    target = found["hops"][-1]
    assert (target["sent"], target["lost"], target["target"]) == (40, 0, True)
    # 12.4 ms by the links' delays; each of ten crossings may be early by the emulator's 0.05 ms
    assert 11.9 <= target["best_ms"] < 20
    assert [hop["hop"] for hop in found["hops"]] == list(range(1, len(hosts) + 1))
    (path,) = state.iterdir()
    assert read_kept(path).done == 40


def test_the_report_has_mtrs_columns(anycast: Lab, cli: Cli) -> None:
    ask = ("mtr", "osaka", "web", "--lab", anycast.name, "-c", "2", "--report")
    lines = cli(*ask).stdout.splitlines()
    assert lines[0].startswith("Start: 20")
    assert lines[1] == f"{'HOST: osaka':<33} Loss%   Snt   Last   Avg  Best  Wrst StDev"
    assert all(LINE.match(line) for line in lines[2:])
    assert len(lines) > 4


@pytest.mark.parametrize(
    ("source", "target", "last"),
    [
        ("web", "busan", None),
        ("seoul", "home", HOME),
        ("home", "10.99.1.1", "10.99.1.1"),
        ("transit-kr", "web", WEB),
        ("daegu", WEB, WEB),
    ],
)
def test_from_every_kind_of_member(
    anycast: Lab, cli: Cli, source: str, target: str, last: str | None
) -> None:
    ask = ("mtr", source, target, "--lab", anycast.name, "-c", "10", "-i", "10ms", "--json")
    found = json.loads(cli(*ask).stdout)
    assert found["hops"][-1]["lost"] == 0
    assert last is None or list(found["hops"][-1]["addresses"]) == [last]


def test_udp_takes_the_same_way(anycast: Lab, cli: Cli) -> None:
    ask = ("mtr", "busan", "web", "--lab", anycast.name, "-c", "2", "--udp", "--json")
    found = json.loads(cli(*ask).stdout)
    hosts = [next(iter(hop["addresses"]), None) for hop in found["hops"]]
    assert hosts[-3:] == [SEOUL, HOME, WEB]


def test_resumed_in_the_lab(anycast: Lab, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    ask = ("mtr", "busan", "web", "--lab", anycast.name, "-c", "20", "-i", "10ms")
    cli(*ask, "--out", str(path))
    found = as_json(cli("mtr", "--read", str(path), "--json"))
    assert isinstance(found, dict)
    assert (found["from"], found["to"], found["done"]) == ("busan", "web", 20)
    cli("mtr", "--resume", str(path), "--report", "--chart", str(tmp_path / "a.svg"))
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_two_vantage_points_at_the_same_time(anycast: Lab, cli: Cli) -> None:
    ask = ("compare", "busan,web", "osaka,web", "--lab", anycast.name, "-c", "60", "-i", "10ms")
    said = cli(*ask).stdout
    assert "osaka to web is worse than busan to web" in said
    assert "loss: no difference, 0.00 % and 0.00 %" in said
    assert "ms higher" in said


def test_the_same_twice_is_no_difference_in_loss(anycast: Lab, cli: Cli) -> None:
    ask = ("compare", "busan,web", "busan,web", "--lab", anycast.name, "-c", "60", "-i", "10ms")
    found = json.loads(cli(*ask, "--json").stdout)
    assert found["differences"]["loss"]["verdict"] == "no difference"
    assert abs(found["differences"]["p50_ms"]["value"]) < 1


def test_both_runs_are_kept_where_it_is_said(
    anycast: Lab, cli: Cli, state: Path, tmp_path: Path
) -> None:
    kept, picture = tmp_path / "lines" / "today", tmp_path / "both.png"
    ask = ("compare", "busan,web", "osaka,web", "--lab", anycast.name, "-c", "20", "-i", "10ms")
    cli(*ask, "--out", str(kept), "--chart", str(picture))
    assert sorted(path.name for path in kept.iterdir()) == ["busan-web.run", "osaka-web.run"]
    assert all(read_kept(path).done == 20 for path in kept.iterdir())
    assert not state.exists()
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = cli(*ask, "--out", str(kept), code=2).stderr
    assert "there already" in again
    runs = [str(path) for path in sorted(kept.iterdir())]
    assert "busan-web" in cli("compare", *runs).stdout


def test_who_is_not_there_is_said(anycast: Lab, cli: Cli) -> None:
    said = cli("mtr", "seoul", "nowhere", "--lab", anycast.name, code=1).stderr
    assert "nowhere is neither a member of the lab nor an address" in " ".join(said.split())
    with pytest.raises(LabError, match="no pusan"):
        lab_ends(anycast, "pusan", "web")
    assert {"busan", "web", "seoul", "transit-kr"} <= set(members(anycast))


def test_words_that_make_no_sense_are_usage(cli: Cli, tmp_path: Path) -> None:
    for words in (
        ("mtr",),
        ("mtr", "127.0.0.1", "--interval", "soon"),
        ("mtr", "127.0.0.1", "--interval", "0.1ms"),
        ("mtr", "127.0.0.1", "--count", "5", "--duration", "5s"),
        ("mtr", "127.0.0.1", "--size", "10"),
        ("mtr", "127.0.0.1", "--chart", "a.gif"),
        ("mtr", "127.0.0.1", "--read", "a.run"),
        ("mtr", "127.0.0.1", "--interval", "1ms", "--wait", "60s"),
        ("mtr", "--resume", "a.run", "--count", "5"),
        ("compare", str(Path(__file__)), "127.0.0.1"),
        ("compare", str(Path(__file__)), str(Path(__file__)), "--out", "kept"),
    ):
        assert cli(*words, code=2).stderr.startswith("error: ")
    (tmp_path / "a.run").write_text("not one of ours")
    assert "holds no measurement" in cli("mtr", "--read", str(tmp_path / "a.run"), code=1).stderr
