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
from bongsu.lab.probe.pinger import Pinger
from bongsu.lab.probe.survey import sources
from bongsu.lab.state import LabPaths
from bongsu.model.base import Address
from bongsu.system import netns

EXAMPLES = Path(__file__).parents[2] / "examples"
Cli = Callable[..., subprocess.CompletedProcess[str]]


def raised(example: str, name: str) -> Lab:
    """The lab of an example, owned by this test run."""
    return raised_from(EXAMPLES / example, name)


def raised_from(path: Path, name: str) -> Lab:
    """The lab of a network file, owned by this test run."""
    text = path.read_text()
    return raise_lab(load_text(text, path.name).network, path, text, name=name, keep=False)


def standing(path: Path, name: str) -> Iterator[Lab]:
    """What a fixture yields from: the lab of a file, and afterwards nothing of it."""
    lab = raised_from(path, name)
    yield lab
    remove_lab(lab.name)
    assert remains(lab.name) == []


def answered(lab: Lab, host: str, target: Address) -> int:
    """Of five probes from a host or vantage point, those that the target answered."""
    (series,) = Pinger(sources(lab, target, [host]), 0.01, 5).start().wait()
    return len(series.rtt_ns) - series.lost


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
