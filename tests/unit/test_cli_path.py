"""What `bongsu mtr` and `bongsu compare` are told, and the tables that they show."""

from io import StringIO
from ipaddress import ip_address
from pathlib import Path

import pytest
import typer
from rich.console import Console

from bongsu.cli.path.compare import _names, _pair
from bongsu.cli.path.compare import table as side_by_side
from bongsu.cli.path.live import folded_host, table
from bongsu.cli.path.words import check_chart, duration_ns, head_of, new_file, pace_of
from bongsu.lab.probe.measure import Ends
from bongsu.protocol.path.compare import compare
from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import MS, SECOND, Pace
from bongsu.protocol.path.run import Run
from tests.unit.path_runs import SOURCES, TARGETS, drawn, head, kept


def shown(run: Run, width: int = 120) -> str:
    console = Console(width=width, record=True, color_system=None, file=StringIO())
    console.print(table(run, width))
    return console.export_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", SECOND),
        ("10ms", 10 * MS),
        ("0.5", SECOND // 2),
        ("1.5 s", 3 * SECOND // 2),
        ("30m", 1800 * SECOND),
        ("48h", 172_800 * SECOND),
        ("2d", 172_800 * SECOND),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert duration_ns(text, "--interval") == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1s", "1 week", "1e3s", "ms", "0ms", "1s2s", "inf", "nan"]
)
def test_what_is_no_duration_is_usage(text: str) -> None:
    with pytest.raises(typer.Exit) as left:
        duration_ns(text, "--interval")
    assert left.value.exit_code == 2


def test_the_documents_run_is_48_hours_of_seconds() -> None:
    pace = pace_of("1s", "1s", "3s", None, "48h", 30)
    assert (pace.count, pace.interval_ns) == (172_800, SECOND)


def test_a_duration_that_does_not_divide_is_rounded_up() -> None:
    assert pace_of("3s", "1s", "3s", None, "10s", 30).count == 4


def test_rounds_are_never_more_frequent_than_probes() -> None:
    assert pace_of("5s", "1s", "3s", 1, None, 30).cycles_a_round == 1
    assert pace_of("1ms", "1s", "3s", 1, None, 30).cycles_a_round == 1000


def test_probes_have_room_for_what_they_carry() -> None:
    for family, least in ((4, 64), (6, 74)):
        ends = Ends("a", "b", SOURCES[family], TARGETS[family])
        assert head_of(ends, Pace(), "icmp", None).size == least
        with pytest.raises(typer.Exit):
            head_of(ends, Pace(), "icmp", 40)


def test_runs_are_kept_below_the_state_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = new_file(head("../../etc/pass wd"))
    assert path.parent == tmp_path / "bongsu" / "mtr"
    assert path.name.endswith("-busan-.._.._etc_pass_wd.run")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert new_file(head()).parent == Path("~/.local/state/bongsu/mtr").expanduser()


def test_charts_are_svg_in_a_directory_that_is_there(tmp_path: Path) -> None:
    check_chart(None)
    check_chart(tmp_path / "a.svg")
    for path in (tmp_path / "a.png", tmp_path / "none" / "a.svg"):
        with pytest.raises(typer.Exit):
            check_chart(path)


def test_a_pair_is_from_and_to() -> None:
    assert _pair("busan,web") == ("busan", "web")
    assert _pair("busan,2001:db8::1") == ("busan", "2001:db8::1")
    assert _pair("192.0.2.1") == (None, "192.0.2.1")
    with pytest.raises(typer.Exit):
        _pair("gone.run")


def test_files_of_the_same_name_are_told_apart() -> None:
    assert _names("x/direct.run", "x/fast.run") == ("direct", "fast")
    assert _names("x/a.run", "y/a.run") == ("x/a.run", "y/a.run")
    assert _names("a.run", "a.run") == ("a (A)", "a (B)")


def test_the_table_has_what_the_report_has_and_more() -> None:
    text = shown(drawn(100, 1, loss=0.2))
    for heading in (
        "Loss%",
        "Snt",
        "Last",
        "Avg",
        "Best",
        "Wrst",
        "StDev",
        "p50",
        "p95",
        "p99",
        "Jttr",
    ):
        assert heading in text
    assert "p50" not in shown(drawn(100, 1), 80)


def test_the_table_marks_who_answered_in_the_targets_place() -> None:
    run = kept([1.0, 2.0])
    run.rows["kind"] = Kind.UNREACHABLE
    run.rows["code"] = 13
    assert "??? !X" in shown(run)
    assert "100.0" in shown(run)


def test_every_address_of_a_hop_is_in_the_table() -> None:
    run = kept([1.0, 2.0])
    run.addresses.all.append(ip_address("198.51.100.77"))
    run.rows["host"][1] = 2
    text = shown(run)
    assert text.index("198.51.100.77") < text.index("198.51.100.9 ")


LONGEST = "2001:db8:1234:5678:9abc:def0:1234:5678"


@pytest.mark.parametrize("width", [80, 90, 100, 120, 125])
def test_a_path_fits_its_page_and_no_address_is_cut(width: int) -> None:
    run = kept([1000.0, 99999.0])
    run.addresses.all.append(ip_address(LONGEST))
    run.rows["host"][1] = 2
    text = shown(run, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    parts = [folded_host(LONGEST, room).split("\n") for room in range(15, 40)]
    assert any(set(lines) <= set(text.split()) for lines in parts)


def test_an_address_is_folded_behind_a_colon() -> None:
    assert folded_host(LONGEST, 39) == LONGEST
    assert folded_host(f"{LONGEST} !X", 39) == f"{LONGEST}\n!X"
    folded = folded_host(LONGEST, 20).split("\n")
    assert "".join(folded) == LONGEST
    assert all(len(line) <= 20 for line in folded)
    assert all(line.endswith(":") for line in folded[:-1])
    assert folded_host("192.0.2.1 !X", 15) == "192.0.2.1 !X"


def test_a_comparison_fits_80_columns() -> None:
    console = Console(width=80, record=True, color_system=None, file=StringIO())
    name = "a-run-with-a-name-that-is-longer-than-what-is-left-of-the-page"
    console.print(side_by_side(compare(drawn(200, 1), drawn(200, 2)), name, "two"))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_a_comparison_is_a_table_of_two() -> None:
    view = side_by_side(compare(drawn(200, 1), drawn(200, 2)), "one", "two")
    assert view.row_count == 2
