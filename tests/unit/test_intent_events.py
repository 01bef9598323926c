"""libyaml is what reads, and the parser that stands in for it reads the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.intent import IntentError, events
from bongsu.intent.document import read_document

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "examples").glob("*.yaml")), *sorted((ROOT / "tests").rglob("*.yaml"))]


def read(text: str) -> object:
    try:
        return read_document(text, "f")
    except IntentError as error:
        return error.problems


def test_libyaml_is_at_work() -> None:
    """As locked, PyYAML has libyaml in it; without, 3,000 sites take many times as long."""
    assert events.FAST
    reader: Any = events.event_reader("a: 1")
    assert isinstance(reader.__self__, yaml.CSafeLoader)


def test_there_are_files_to_compare() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_stand_in_reads_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, positions and every word of every problem."""
    text = path.read_text()
    by_libyaml = read(text)
    monkeypatch.setattr(events, "FAST", False)
    assert read(text) == by_libyaml


@pytest.mark.parametrize("text", ["a: [2001:db8::]", "a: [is it? no]"])
def test_where_the_two_differ(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_libyaml = read(text)
    monkeypatch.setattr(events, "FAST", False)
    assert read(text) != by_libyaml
