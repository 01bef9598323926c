"""What `bongsu mtr` and `bongsu compare` are told, and the tables that they show."""

import os
import struct
import zlib
from io import StringIO
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bongsu.cli.main import app
from bongsu.cli.path import picture
from bongsu.cli.path.compare import _begun, _names, _pair
from bongsu.cli.path.compare import table as side_by_side
from bongsu.cli.path.live import folded_host, table
from bongsu.cli.path.words import (
    check_chart,
    duration_ns,
    head_of,
    new_file,
    pace_of,
    pair_of_files,
    write_chart,
)
from bongsu.lab.probe.measure import Ends, Measurement
from bongsu.protocol.path.chart import HEIGHT, WIDTH, chart
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


def test_charts_are_svg_or_png_in_a_directory_that_is_there(tmp_path: Path) -> None:
    check_chart(None)
    check_chart(tmp_path / "a.svg")
    check_chart(tmp_path / "a.PNG")
    for path in (tmp_path / "a.gif", tmp_path / "none" / "a.svg"):
        with pytest.raises(typer.Exit):
            check_chart(path)


def test_without_what_draws_them_png_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda _: None)
    check_chart(tmp_path / "a.svg")
    with pytest.raises(typer.Exit) as caught:
        check_chart(tmp_path / "a.png")
    assert caught.value.exit_code == 2
    assert "pip install resvg-py" in capsys.readouterr().err


RUNS = [("busan", drawn(500, 1, loss=0.1)), ("osaka", drawn(500, 2, loss=0.1))]


def test_a_png_has_the_chart_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many pixels, on white, with the colours of both runs and the words' grey."""
    path = tmp_path / "a.png"
    write_chart(path, RUNS)
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    assert struct.unpack_from("!II", path.read_bytes(), 16) == (2 * WIDTH, 2 * HEIGHT)
    monkeypatch.setattr(picture, "ZOOM", 0.5)  # few pixels, for Python reads them
    write_chart(path, RUNS)
    width, height, pixels = decoded(path.read_bytes())
    assert (width, height) == (WIDTH // 2, HEIGHT // 2)
    seen = np.frombuffer(pixels, np.uint8).reshape(-1, 4)[:, :3].astype(int)
    for colour in ("ffffff", "0072b2", "d55e00", "656d76", "d8dee4"):
        apart = np.abs(seen - list(bytes.fromhex(colour))).max(axis=1)
        assert (apart < 32).sum() > 20, colour


def decoded(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGBA of a PNG of 8 bits a channel (RFC 2083), row after row."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, size = 8, b"", (0, 0)
    while at < len(data):
        length, kind = struct.unpack_from("!I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            size = struct.unpack_from("!II", body)
            assert body[8:10] == b"\x08\x06"
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, step = zlib.decompress(packed), 4 * size[0]
    rows = [bytearray(step)]
    for start in range(0, len(raw), step + 1):
        rows.append(unfiltered(raw[start], raw[start + 1 : start + 1 + step], rows[-1]))
    return *size, b"".join(rows[1:])


def unfiltered(how: int, row: bytes, above: bytearray) -> bytearray:
    found = bytearray(len(row))
    for at, byte in enumerate(row):
        left, up = (found[at - 4] if at > 3 else 0), above[at]
        corner = above[at - 4] if at > 3 else 0
        near = left + up - corner
        paeth = min((left, up, corner), key=lambda each: abs(near - each))
        found[at] = (byte + (0, left, up, (left + up) // 2, paeth)[how]) & 0xFF
    return found


def test_a_chart_without_words_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chart(tmp_path / "a.png", RUNS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(picture, "FONTS", ("No Such Font",))
    write_chart(tmp_path / "a.png", RUNS)
    assert picture.NO_FONT in capsys.readouterr().err


def test_a_chart_is_written_by_whoever_may_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for root alone: nothing is given to somebody else."""

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    monkeypatch.setattr(os, "chown", refused)
    write_chart(tmp_path / "a.svg", RUNS)
    assert (tmp_path / "a.svg").read_text() == chart(RUNS)


def test_two_runs_in_one_directory(tmp_path: Path) -> None:
    first, second = head(), head("192.0.2.9")
    assert [path.name for path in pair_of_files(tmp_path, [first, second])] == [
        f"{first.source_name}-{first.target_name}.run",
        f"{first.source_name}-192.0.2.9.run",
    ]
    twice = pair_of_files(tmp_path, [first, first])
    assert len({*twice}) == 2
    twice[1].write_text("somebody's")
    with pytest.raises(typer.Exit):
        pair_of_files(tmp_path, [first, first])


def test_what_is_kept_is_not_kept_again(tmp_path: Path) -> None:
    for name in ("a.run", "b.run"):
        (tmp_path / name).touch()
    words = ["compare", str(tmp_path / "a.run"), str(tmp_path / "b.run"), "--out", "x"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "kept already" in done.stderr


def test_where_one_of_two_cannot_begin_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Begun:
        def __init__(self, path: Path) -> None:
            path.touch()

        def close(self) -> None: ...

    def begin(_: object, path: Path) -> Begun:
        if path.name == "b.run":
            raise PermissionError
        return Begun(path)

    monkeypatch.setattr(Measurement, "begin", begin)
    with pytest.raises(typer.Exit):
        _begun([head(), head()], [tmp_path / "a.run", tmp_path / "b.run"])
    assert list(tmp_path.iterdir()) == []


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
