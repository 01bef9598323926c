"""What the documents show is tried: every command of a `console` block, every piece of YAML."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.model.network import Network

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"bongsu", "cp"}
LABS = ("anycast", "gre-keepalive", "hybrid-vpn", "accelerated-vpn")
"""What the documents raise, whether they come to its end or not."""


def blocks(path: Path, kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(path.read_text()) if found == kind]


def commands(path: Path) -> list[str]:
    lines = [line for text in blocks(path, "console") for line in text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


WITH_COMMANDS = [path for path in DOCUMENTS if commands(path)]
WITH_YAML = [path for path in DOCUMENTS if blocks(path, "yaml")]


def test_there_is_something_to_try() -> None:
    assert len(WITH_COMMANDS) >= 2
    assert len(WITH_YAML) >= 2


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.name)
def test_commands(path: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    bin_ = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "COLUMNS": "120"}
    environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    try:
        for command in commands(path):
            words = shlex.split(command)
            assert words[0] in PROGRAMS, command
            done = subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180
            )
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    finally:
        for name in LABS:
            down = [bin_ / "bongsu", "lab", "down", "--lab", name]
            subprocess.run(down, capture_output=True, timeout=60)


EXAMPLES = ("anycast", "hybrid-vpn", "accelerated-vpn", "gre-keepalive")


def example(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text()))


def laid_over(whole: Any, piece: Any) -> Any:
    """A mapping's keys are replaced one by one, everything else as a whole."""
    if not isinstance(whole, dict) or not isinstance(piece, dict):
        return piece
    return whole | {key: laid_over(whole.get(key), value) for key, value in piece.items()}


@pytest.mark.parametrize("path", WITH_YAML, ids=lambda path: path.name)
def test_yaml(path: Path) -> None:
    """A piece stands in the example in the place of what the example has."""
    for text in blocks(path, "yaml"):
        piece: dict[str, Any] = yaml.safe_load(text) or {}
        vpn = "accelerated-vpn" if path.stem == "accelerator" else "hybrid-vpn"
        parted = piece.keys() & {"vpns", "clouds", "accelerators"}
        whole = example(vpn if parted else "anycast")
        if "announce" in piece:
            whole["nodes"]["seoul"]["announce"] = piece.pop("announce")
        parts = {key: piece.pop(key) for key in ("vpns", "clouds", "accelerators") if key in piece}
        Network.model_validate(laid_over(whole | piece, parts))


def shown_in(piece: Any, whole: Any) -> bool:
    """Whether all that a piece says stands in the whole; lists in full."""
    if not isinstance(piece, dict):
        return bool(piece == whole)
    return isinstance(whole, dict) and all(
        key in whole and shown_in(value, whole[key]) for key, value in piece.items()
    )


def test_the_readme_shows_the_examples() -> None:
    """What the README's YAML says, an example does; the first one word by word."""
    shown = blocks(ROOT / "README.md", "yaml")
    assert shown[0].rstrip() in (ROOT / "examples" / "anycast.yaml").read_text()
    for text in shown:
        piece = yaml.safe_load(text)
        assert any(shown_in(piece, example(name)) for name in EXAMPLES), text


def test_links_lead_somewhere() -> None:
    for path in [*DOCUMENTS, *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
