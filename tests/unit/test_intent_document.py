"""What YAML means here: scalars, keys, aliases, merges, bounds, and where everything stands."""

import pytest

from bongsu.intent import IntentError
from bongsu.intent import document as module
from bongsu.intent.document import read_document


def value(text: str) -> object:
    return read_document(f"a: {text}\n", "f").root["a"]


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(IntentError) as caught:
        read_document(text, "f")
    return [(item.line, item.message) for item in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1", 1),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        # Words, whatever other readers take them for.
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-11-22", "2026-11-22"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1.2.3.4", "1.2.3.4"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::1"),
        ('"1"', "1"),
        ("'true'", "true"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ("|\n  x\n  y", "x\ny\n"),
        ("-", "-"),
        (".", "."),
    ],
)
def test_scalars(text: str, meant: object) -> None:
    if text == "-":
        assert value('"-"') == "-"
        return
    found = value(text)
    assert found == meant
    assert type(found) is type(meant)


def test_a_number_without_end_stays_text() -> None:
    assert value("9" * 300) == int("9" * 300)
    assert value("9" * 5000) == "9" * 5000
    assert value("0x" + "f" * 5000) == "0x" + "f" * 5000


def test_keys_are_text() -> None:
    assert read_document("1: a\ntrue: b\n~: c\n", "f").root == {"1": "a", "true": "b", "~": "c"}


def test_a_merge_gives_what_is_not_there() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 9}\n"
    assert read_document(text, "f").root["z"] == {"a": 9, "b": 2, "c": 4}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read_document('z: {"<<": 1}\n', "f").root["z"] == {"<<": 1}


def test_what_is_merged_stands_where_it_was_written() -> None:
    document = read_document("x: &x\n  a: 1\nz:\n  <<: *x\n  b: 2\n", "f")
    assert document.position(("z", "a")) == (2, 6)
    assert document.position(("z", "b")) == (5, 6)


def test_all_duplicates_are_found_in_one_pass() -> None:
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 3\n") == [
        (2, "the key is given twice, first on line 2"),
        (3, "the key is given twice, first on line 1"),
    ]


def test_aliases_count_for_what_they_unfold_to(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &a [1, 2, 3]\nb: [*a, *a]\n"
    monkeypatch.setattr(module, "MAX_VALUES", 14)
    assert read_document(text, "f").root["b"] == [[1, 2, 3], [1, 2, 3]]
    monkeypatch.setattr(module, "MAX_VALUES", 13)
    assert problems(text) == [(2, "more than 13 values, aliases included")]


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 3)
    assert read_document("abc", "f").root == "abc"
    assert problems("abcd") == [(1, "the file is larger than 0 MiB")]


def test_nesting_is_bounded() -> None:
    read_document("[" * 32 + "]" * 32, "f")
    assert problems("[" * 33 + "]" * 33) == [(1, "nested more than 32 deep")]


TEXT = """\
top:
  list:
    - one
    - {two: 2}
  empty:
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("top",), (1, 1)),
        (("top", "list"), (2, 3)),
        (("top", "list", 0), (3, 7)),
        (("top", "list", 1), (4, 7)),
        (("top", "list", 1, "two"), (4, 13)),
        (("top", "empty"), (5, 3)),
        # What is not there: the nearest thing above.
        (("top", "list", 7), (2, 3)),
        (("top", "list", 0, "x"), (3, 7)),
        (("nowhere", "at", "all"), (1, 1)),
    ],
)
def test_places(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    assert read_document(TEXT, "f").position(path) == place


def test_places_of_keys() -> None:
    document = read_document(TEXT, "f")
    assert document.key_position(("top", "list", 1, "two")) == (4, 8)
    assert document.key_position(("top", "gone", "further")) == (1, 1)


def test_windows_line_ends_and_byte_order_marks_are_read() -> None:
    assert read_document("\ufeffa: 1\r\nb: 2\r\n", "f").root == {"a": 1, "b": 2}
