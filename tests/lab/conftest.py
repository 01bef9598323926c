"""Labs for the tests: one of the example that many tests look at, and a way to ask the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bongsu.intent import load_text
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab
from bongsu.lab.state import LabPaths
from bongsu.system import netns

EXAMPLES = Path(__file__).parents[2] / "examples"
Cli = Callable[..., subprocess.CompletedProcess[str]]


def raised(example: str, name: str) -> Lab:
    """The lab of an example, owned by this test run."""
    path = EXAMPLES / example
    text = path.read_text()
    return raise_lab(load_text(text, path.name).network, path, text, name=name, keep=False)


def remains(name: str) -> list[str]:
    """What is left of a lab: namespaces, its directory, and processes that live in it."""
    found = netns.names(LabPaths(name).netns(""))
    found += [str(LabPaths(name).root)] if LabPaths(name).root.exists() else []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"/run/bongsu/lab/{name}/" in words:
                found.append(f"{entry.name}: {words[:80]}")
    return found


@pytest.fixture(scope="module")
def anycast() -> Iterator[Lab]:
    """The anycast example, up for one file of tests. Tests that break it mend it."""
    lab = raised("anycast.yaml", "t-anycast")
    yield lab
    remove_lab(lab.name)
    assert remains(lab.name) == []


@pytest.fixture
def cli() -> Cli:
    """Run the bongsu program."""

    def call(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("bongsu"), *words],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "140"},
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    return call


def as_json(done: subprocess.CompletedProcess[str]) -> object:
    """Standard output as JSON."""
    return json.loads(done.stdout)
