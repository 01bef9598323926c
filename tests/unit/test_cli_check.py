"""What `check` answers, where it goes and how it ends; what the verbs that act make of warnings."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bongsu.cli.main import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"
SOUND = EXAMPLE.read_text()
WARNED = SOUND.replace(", password: env:SEOUL_BGP_PASSWORD", "")
CODE = "SEC002"
BROKEN = SOUND.replace("asn: 64515", "asn: soon", 1)
KEYS = {"ok", "errors", "warnings", "problems", "findings"}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


def as_json(path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = run("check", str(path), "--json", *words)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer.keys() == KEYS
    assert done.stderr == ""
    return done.exit_code, answer


def test_one_shape_of_json_for_every_end(file: Path) -> None:
    assert as_json(EXAMPLE) == (
        0,
        {key: [] for key in KEYS} | {"ok": True, "errors": 0, "warnings": 0},
    )

    code, answer = as_json(file)
    assert (code, answer["ok"], answer["errors"]) == (2, False, 1)
    assert "cannot read" in answer["problems"][0]["message"]

    file.write_text(BROKEN)
    code, answer = as_json(file)
    assert (code, answer["ok"], answer["errors"]) == (1, False, 1)
    assert answer["problems"][0]["path"].endswith("vultr.asn")

    file.write_text(WARNED)
    code, answer = as_json(file)
    assert (code, answer["ok"], answer["errors"]) == (0, True, 0)
    assert answer["warnings"] == len(answer["findings"]) > 0
    code, answer = as_json(file, "--strict")
    assert (code, answer["ok"]) == (1, False)


def test_findings_are_the_answer_and_warnings_leave_it_well(file: Path) -> None:
    file.write_text(WARNED)
    done = run("check", str(file))
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"warning {CODE}" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(": 1 warning")
    assert run("check", str(file), "--strict").exit_code == 1


def test_problems_are_the_answer(file: Path) -> None:
    file.write_text(BROKEN)
    done = run("check", str(file))
    assert (done.exit_code, done.stderr) == (1, "")
    assert f"1 error in {file}" in done.stdout


@pytest.mark.parametrize("verb", ["render", "plan"])
def test_who_acts_shows_warnings_beside_and_refuses_errors(verb: str, file: Path) -> None:
    file.write_text(WARNED)
    done = run(verb, str(file))
    assert done.exit_code == 0
    assert f"warning {CODE}" in done.stderr
    assert CODE not in done.stdout
    file.write_text(SOUND.replace("key: 2", "key: 1").replace("10.99.2.", "10.99.1."))
    done = run(verb, str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nothing was done" in done.stderr


def test_render_says_which_file_is_which_in_what_is_redirected() -> None:
    done = run("render", str(EXAMPLE), "--node", "seoul")
    headers = [text for text in done.stdout.splitlines() if text.startswith("# seoul: /etc/")]
    assert "# seoul: /etc/bird/bird.conf" in headers
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "words"), [("anycast", "2 tunnels,"), ("hybrid-vpn", "1 node, 2 VPN tunnels,")]
)
def test_tunnels_are_counted_of_either_kind(name: str, words: str) -> None:
    done = run("check", str(EXAMPLE.parent / f"{name}.yaml"))
    assert done.exit_code == 0
    assert words in done.stdout + done.stderr
