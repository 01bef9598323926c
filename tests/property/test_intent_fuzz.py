"""Whatever the text: a network, or problems with places inside the text; never another exception."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.intent import IntentError, load_text
from bongsu.intent.document import read_document

EXAMPLE = (Path(__file__).parents[2] / "examples" / "anycast.yaml").read_text()
VALUES = json.dumps(read_document(EXAMPLE, "example").root)
SECRET = "correct-horse-battery"


def judged(text: str) -> str:
    """The answer to a text, its places looked at; empty if it is a network."""
    found: IntentError | None = None
    try:
        load_text(text, "f")
    except IntentError as error:
        found = error
    if found is None:
        return ""
    lines = text.split("\n")
    assert found.problems
    for problem in found.problems:
        assert 1 <= problem.line <= len(lines) + 1
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in problem.message
    return str(found)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["10.0.0.1/24", "::1", "env:X", "vantages", "pop", "inherit", "link-down:x"]),
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["expect", "to", "ends"]), inner)
    ),
    max_leaves=8,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        found += paths(item, (*path, key))
    return found


PATHS = paths(json.loads(VALUES))


def put(path: tuple[str | int, ...], value: Any) -> Any:
    root = json.loads(VALUES)
    inner = root
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return root


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    judged(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 40), st.text(max_size=8))
def test_the_example_with_a_piece_replaced(at: int, length: int, piece: str) -> None:
    judged(EXAMPLE[:at] + piece + EXAMPLE[at + length :])


@settings(max_examples=100, deadline=None)
@given(anything)
def test_any_value(value: Any) -> None:
    judged(json.dumps(value))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PATHS), anything)
def test_the_example_with_any_value_anywhere(path: tuple[str | int, ...], value: Any) -> None:
    answer = judged(json.dumps(put(path, value)))
    assert "pydantic" not in answer


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        [
            ("nodes", "seoul", "bgp", "neighbors", "vultr", "password"),
            ("lab", "secrets", "SEOUL_BGP_PASSWORD"),
        ]
    ),
    st.sampled_from(
        [SECRET, [SECRET], {"a": SECRET}, {SECRET: 1}, [[SECRET, SECRET]], f"x {SECRET}"]
    ),
    st.sampled_from(PATHS),
)
def test_a_secret_never_comes_out(
    path: tuple[str | int, ...], value: Any, broken: tuple[str | int, ...]
) -> None:
    values = put(path, value)
    if broken[: len(path)] != path and path[: len(broken)] != broken:
        inner = values
        for key in broken[:-1]:
            inner = inner[key]
        inner[broken[-1]] = {"unknown": True}
    assert SECRET not in judged(json.dumps(values))
