"""What the command line prints is what was meant, byte for byte."""

import re
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bongsu.cli import output
from bongsu.cli.main import _words, app
from bongsu.cli.output import rounded, sentence, working
from bongsu.cli.verbs import VERBS

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"
ACCELERATED = EXAMPLE.with_name("accelerated-vpn.yaml")
# names of emoji, as rich has them, and parts of IPv6 addresses
TRAPS = ("fd00:a:1::", "fd00:bee:2::", "fd00:100:3::", "fd00:abc:4::")


@pytest.mark.parametrize("net", TRAPS)
def test_no_address_becomes_a_picture(net: str, tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace(
        "seoul: {addresses: [10.99.1.1/24]}, home: {addresses: [10.99.1.2/24]}",
        f'seoul: {{addresses: [10.99.1.1/24, "{net}1/64"]}}, '
        f'home: {{addresses: [10.99.1.2/24, "{net}2/64"]}}',
    )
    assert net in text
    file = tmp_path / "network.yaml"
    file.write_text(text)
    done = CliRunner().invoke(app, ["render", str(file), "--node", "seoul"])
    assert f"neighbor {net}2 as 64500;" in done.stdout


def test_render_replaces_a_bundle_and_drops_nodes_that_are_no_more(tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = tmp_path / "bundles"
    assert run(app, ["render", str(EXAMPLE), "-o", str(out)]).exit_code == 0
    (out / "seoul" / "root" / "etc" / "stale.conf").write_text("of an older bundle")
    (out / "gone").mkdir()
    (out / "gone" / "manifest.json").write_text("{}")
    (out / "mine").mkdir()
    assert run(app, ["render", str(EXAMPLE), "-o", str(out)]).exit_code == 0
    assert not (out / "seoul" / "root" / "etc" / "stale.conf").exists()
    assert sorted(path.name for path in out.iterdir()) == ["home", "mine", "seoul", "tokyo"]


def test_render_leaves_alone_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "seoul").mkdir()
    (tmp_path / "seoul" / "precious").write_text("keep me")
    done = CliRunner().invoke(app, ["render", str(EXAMPLE), "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert (tmp_path / "seoul" / "precious").read_text() == "keep me"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["check", "nowhere.yaml"], 2, "cannot read"),
        (["explain", "XYZ999"], 2, "no check has the code XYZ999\nhint: bongsu explain lists all"),
        (["explain", "VPN08"], 2, "hint: did you mean VPN008 or "),
        (["explain", "vpn0008"], 2, "hint: did you mean VPN008 or "),
        (["explain", "BGB001"], 2, "hint: did you mean BGP001? bongsu explain lists"),
        (["explain"], 0, "VPN008"),
        (["render", str(EXAMPLE), "--node", "nobody"], 2, "no node nobody"),
        (["check", str(EXAMPLE)], 0, "all is well"),
        (["check", str(ACCELERATED)], 0, "4 nodes, 2 VPN tunnels, 2 accelerators, "),
        (["explain", "SEC001"], 0, "SEC001"),
        (["--version"], 0, f"bongsu {version('bongsu')}"),
    ],
)
def test_exit_codes(words: list[str], code: int, says: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code
    assert says in done.output


LONG = (
    "network.yaml:17:9: nodes.seoul.bgp.neighbors.vultr: `address` is missing and [17] is no colour"
)


@pytest.mark.parametrize("width", [40, 80])
def test_a_sentence_is_folded_on_a_terminal_between_words(width: int) -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, no_color=True, width=width)
    sentence(LONG, to=console, styles={"is missing": "none"})
    lines = screen.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("    ") for line in lines[1:])
    words = [word for line in lines for word in line.split()]
    assert words == LONG.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


def test_a_sentence_is_one_line_for_anything_else() -> None:
    pipe = StringIO()
    sentence(LONG, to=Console(file=pipe, width=40), indent="  ")
    assert pipe.getvalue() == f"  {LONG}\n"


def test_milliseconds_are_rounded_and_nothing_else() -> None:
    given = {"avg_ms": 1.23456789, "sent_ms": None, "loss": 1 / 3, "hop": "a_ms"}
    assert rounded(given) == given | {"avg_ms": 1.235}


def test_phases_are_lines_where_no_spinner_turns(capsys: pytest.CaptureFixture[str]) -> None:
    with working("raising the lab") as status:
        for phase in ("links", "agents [2]", "agents [2]", "sessions"):
            status.update(phase)
    assert capsys.readouterr().err == "raising the lab\nlinks\nagents [2]\nsessions\n"


def test_help_has_every_verb_and_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bongsu.cli.verbs.load", None)
    shown = CliRunner().invoke(app, ["--help"]).stdout
    lines = [text.split(maxsplit=1) for text in shown.partition("Commands:")[2].splitlines()]
    assert [tuple(line) for line in lines if line] == [
        (name, verb.help) for name, verb in VERBS.items()
    ]


def test_the_program_starts_without_what_verbs_need() -> None:
    """What is imported to start with names no other module of ours."""
    for name in ("main", "verbs", "output"):
        source = (Path(output.__file__).parent / f"{name}.py").read_text()
        ours = set(re.findall(r"^from (bongsu\.\S+) import", source, re.M))
        assert ours <= {"bongsu.cli.output", "bongsu.cli.verbs"}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_there_and_looks_like_the_others(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f"Usage: bongsu {name}" in done.stdout
    assert "--install-completion" not in done.stdout
    assert "╭" not in done.stdout


def test_a_wrong_verb_is_told_what_may_have_been_meant() -> None:
    done = CliRunner().invoke(app, ["chek"])
    assert done.exit_code == 2
    assert "Did you mean 'check'" in done.output


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileExistsError(17, "File exists", "bundles"), "bundles: file exists"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (OSError("own words"), "own words"),
        (ValueError("own words"), "own words"),
    ],
)
def test_errors_of_the_system_are_words(error: Exception, words: str) -> None:
    assert _words(error) == words
