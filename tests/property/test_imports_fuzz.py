"""Whatever one gives to `bongsu import`: a connection, or errors with their lines; never a key in them."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.intent import IntentError, load_text
from bongsu.intent.imports import FORMATS, read
from bongsu.intent.imports.network import Wishes, network_parts
from bongsu.intent.problem import Problem
from tests.unit.test_imports import EXISTING, SAMPLES, WISHES

KINDS = st.sampled_from([None, *FORMATS])
WORDS = st.sampled_from(sorted({word for text in SAMPLES.values() for word in text.split()} - {""}))
LINES = st.sampled_from(sorted({line for text in SAMPLES.values() for line in text.split("\n")}))
ANY_LINE = st.one_of(LINES, st.text(max_size=40), st.lists(WORDS, max_size=8).map(" ".join))
TEXTS = st.lists(ANY_LINE, max_size=60).map("\n".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A sample with some lines gone, doubled, moved or replaced."""
    lines = SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))].split("\n")
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("drop", "double", "replace", "cut", "word"))):
            case "drop":
                lines[place] = ""
            case "double":
                lines.insert(place, draw(LINES))
            case "replace":
                lines[place] = draw(ANY_LINE)
            case "cut":
                lines[place] = lines[place][: draw(st.integers(0, len(lines[place])))]
            case "word":
                words = lines[place].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(
                    st.one_of(WORDS, st.text(max_size=9))
                )
                lines[place] = " ".join(words)
    return "\n".join(lines)


def tried(text: str, kind: str | None) -> None:
    found, problems = attempt(read, {"file.txt": text}, kind)
    if found is None:
        assert problems
        assert all(p.file == "file.txt" and p.line >= 1 and p.message for p in problems)
        hidden(text, problems)
        return
    assert found.tunnels
    for wishes, existing in ((WISHES, None), (Wishes(site="gw", cloud="old"), EXISTING)):
        made, problems = attempt(network_parts, found, wishes, existing)
        if made is None:
            assert problems
            hidden(text, problems)
            continue
        shown = yaml.safe_dump({**(existing or {}), **made.document})
        for secret in made.secrets.values():
            assert len(secret.value) <= 12 or secret.value not in shown
        # Two tunnels with one inside address and the like: told as of any network file.
        loaded, problems = attempt(load_text, shown, "imported")
        assert (loaded is None) == bool(problems)


def attempt(function: Any, *arguments: Any) -> tuple[Any, list[Problem]]:
    """What it gives, or what it says is wrong. Any other exception is a bug."""
    try:
        return function(*arguments), []
    except IntentError as error:
        return None, error.problems


def hidden(text: str, problems: list[Problem]) -> None:
    said = "\n".join(problem.text() for problem in problems)
    for key in ("Invented", "an-old-invented-key"):
        for word in text.split():
            if key in word and len(word) > 12:
                assert word.strip('"') not in said


@settings(max_examples=300, deadline=None)
@given(TEXTS, KINDS)
def test_any_text(text: str, kind: str | None) -> None:
    tried(text, kind)


@settings(max_examples=300, deadline=None)
@given(damaged(), KINDS)
def test_a_damaged_sample(text: str, kind: str | None) -> None:
    tried(text, kind)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400).map(lambda raw: raw.decode("latin-1")), KINDS)
def test_any_bytes(text: str, kind: str | None) -> None:
    tried(text, kind)


def test_there_is_something_to_damage() -> None:
    assert len(SAMPLES) >= 6
