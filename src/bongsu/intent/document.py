"""YAML text to plain values and their positions, by the rules of YAML 1.2's core schema.

`yes`, `on`, `12:30` and dates are words, `0x1f` and `0o17` are numbers, `.inf` and `.nan` are
words, and a decimal number with a leading zero is refused, for YAML 1.1 takes it as octal. Anchors,
aliases and the merge key `<<` work; other tags than `!!str` do not. Keys are always text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Never, TypeAlias

from bongsu.intent.events import (
    Alias,
    DocumentStart,
    MappingEnd,
    MappingStart,
    Scalar,
    SequenceEnd,
    StreamEnd,
    YamlError,
    event_reader,
)
from bongsu.intent.problem import IntentError, Path, Problem
from bongsu.intent.syntax import syntax_words

MAX_BYTES = 32 << 20
"""Of a file: 20 times a network of 3,000 sites."""

MAX_DEPTH = 32
"""Of nesting: a network file has 7."""

MAX_VALUES = 5_000_000
"""After aliases have been followed, so that a small file cannot unfold into a large one."""

MAX_DIGITS = 300
"""Of a number: the largest that means something here has 10. Longer ones stay text."""

Value: TypeAlias = Any
"""None, bool, int, float, str, list or dict with text keys."""


@dataclass(slots=True)
class Marks:
    """Positions of a collection's parts. A position is line << 32 | column, both from 0."""

    position: int
    keys: dict[str, int] = field(default_factory=dict)
    """Of a mapping's keys; empty for a list."""
    parts: dict[str | int, "Marks | int"] = field(default_factory=dict)
    """Of values: a position for a scalar, Marks for a collection."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values and where they stand."""

    file: str
    root: Value
    marks: Marks | int

    def position(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of a value: of a collection its key, of a scalar itself.

        Where the path leads to nothing, the nearest thing above it.
        """
        marks, place = self.marks, _start(self.marks)
        for item in path:
            if not isinstance(marks, Marks) or item not in marks.parts:
                break
            key = marks.keys.get(item) if isinstance(item, str) else None
            marks = marks.parts[item]
            place = key if key is not None and isinstance(marks, Marks) else _start(marks)
        return _line_column(place)

    def key_position(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of the key that a path ends with."""
        marks = self.marks
        for item in path[:-1]:
            if not isinstance(marks, Marks) or item not in marks.parts:
                return self.position(path)
            marks = marks.parts[item]
        if isinstance(marks, Marks) and path and path[-1] in marks.keys:
            return _line_column(marks.keys[str(path[-1])])
        return self.position(path)


def read_document(text: str, file: str) -> Document:
    """The one document of a YAML text. IntentError with every problem found up to a syntax error."""
    if len(text) > MAX_BYTES:
        words = f"the file is larger than {MAX_BYTES >> 20} MiB"
        raise IntentError([Problem(file, 1, 1, (), None, words)])
    composer = _Composer(text, file)
    try:
        root, marks = composer.document()
    except (YamlError, ValueError) as error:
        # ValueError: characters that cannot be encoded, such as half of a surrogate pair.
        line, column, message, hint = syntax_words(error, text)
        problem = Problem(file, line, column, (), None, message, hint)
        raise IntentError([*composer.problems, problem]) from None
    if composer.problems:
        raise IntentError(composer.problems)
    return Document(file, root, marks)


def _start(marks: Marks | int) -> int:
    return marks.position if isinstance(marks, Marks) else marks


def _line_column(position: int) -> tuple[int, int]:
    return (position >> 32) + 1, (position & 0xFFFFFFFF) + 1


class _Composer:
    """Events to values. Problems that do not end the reading are gathered."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._text = text
        self._next: Callable[[], Any] = lambda: None
        self._anchors: dict[str, tuple[Value, Marks | int, int] | None] = {}
        """Value, marks and size; None while the anchored value is still being read."""
        self._values = 0
        self._path: list[str | int] = []

    def document(self) -> tuple[Value, Marks | int]:
        self._next = event_reader(self._text)
        self._next()  # start of stream
        event = self._next()
        if type(event) is StreamEnd:
            self._stop(event, "the file is empty", "start with `version: 1`")
        root = self._node(self._next(), 0)
        self._next()  # end of document
        event = self._next()
        if type(event) is DocumentStart:
            self._say(event, None, "a second document starts here", "one file is one network")
        return root

    def _node(self, event: Any, depth: int) -> tuple[Value, Marks | int]:
        self._count(event, 1)
        kind = type(event)
        if kind is Scalar:
            mark = event.start_mark
            position = mark.line << 32 | mark.column
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, position, 1)
            return value, position
        if kind is Alias:
            return self._alias(event)
        if depth == MAX_DEPTH:
            self._stop(event, f"nested more than {MAX_DEPTH} deep", None)
        if event.tag is not None:
            self._say(event, event.tag, "tags are not used here", "remove it")
        before = self._values
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        read = self._mapping if kind is MappingStart else self._sequence
        value, marks = read(event, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, marks, self._values - before + 1)
        return value, marks

    def _mapping(self, start: Any, depth: int) -> tuple[dict[str, Value], Marks]:
        values: dict[str, Value] = {}
        mark = start.start_mark
        marks = Marks(mark.line << 32 | mark.column)
        merged: list[tuple[dict[str, Value], Marks]] = []
        while type(event := self._next()) is not MappingEnd:
            if type(event) is not Scalar:
                self._stop(event, "a key is a word, not a list, mapping or alias", None)
            key: str = event.value
            mark = event.start_mark
            self._path.append(key)
            value, part = self._node(self._next(), depth)
            self._path.pop()
            if value is None:
                # Nothing stands there, and parsers differ in where nothing begins.
                part = mark.line << 32 | mark.column
            if key == "<<" and event.implicit[0]:
                merged += self._merge(event, value, part)
            elif key in values:
                first = (marks.keys[key] >> 32) + 1
                words = f"the key is given twice, first on line {first}"
                self._path.append(key)
                self._say(event, None, words, "keep one of them")
                self._path.pop()
            else:
                values[key] = value
                marks.keys[key] = mark.line << 32 | mark.column
                marks.parts[key] = part
        for source, source_marks in merged:
            for key, value in source.items():
                if key not in values:
                    values[key] = value
                    marks.keys[key] = source_marks.keys[key]
                    marks.parts[key] = source_marks.parts[key]
        return values, marks

    def _sequence(self, start: Any, depth: int) -> tuple[list[Value], Marks]:
        values: list[Value] = []
        mark = start.start_mark
        marks = Marks(mark.line << 32 | mark.column)
        while type(event := self._next()) is not SequenceEnd:
            index = len(values)
            self._path.append(index)
            value, part = self._node(event, depth)
            self._path.pop()
            values.append(value)
            marks.parts[index] = part
        return values, marks

    def _alias(self, event: Any) -> tuple[Value, Marks | int]:
        if event.anchor not in self._anchors:
            self._stop(event, f"the alias *{event.anchor} has no anchor above it", None)
        known = self._anchors[event.anchor]
        if known is None:
            self._stop(event, f"the alias *{event.anchor} stands inside its own anchor", None)
        value, marks, size = known
        self._count(event, size - 1)
        return value, marks

    def _count(self, event: Any, more: int) -> None:
        self._values += more
        if self._values > MAX_VALUES:
            self._stop(event, f"more than {MAX_VALUES} values, aliases included", None)

    def _merge(
        self, event: Any, value: Value, part: Marks | int
    ) -> list[tuple[dict[str, Value], Marks]]:
        pairs = [(value, part)]
        if isinstance(value, list) and isinstance(part, Marks):
            pairs = [(item, part.parts[index]) for index, item in enumerate(value)]
        good = [(item, at) for item, at in pairs if isinstance(item, dict)]
        if len(good) != len(pairs):
            self._say(event, None, "only mappings can be merged by `<<`", None)
        return [(item, at) for item, at in good if isinstance(at, Marks)]

    def _scalar(self, event: Any) -> Value:
        text: str = event.value
        if event.tag is not None and event.tag not in ("!", _STR):
            self._say(event, event.tag, "tags are not used here", "quote text to keep it text")
        if not event.implicit[0] or event.tag is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _NUMBER_STARTS:
            return text
        if _DECIMAL.match(text):
            if text.lstrip("+-").startswith("0") and len(text.lstrip("+-")) > 1:
                words = "a number with a leading zero is 8-based to some readers and not to others"
                self._say(event, text, words, "write it without the zero, in quotes, or as 0o...")
            return int(text) if len(text) <= MAX_DIGITS else text
        if match := _BASED.match(text):
            return int(match[2], 16 if match[1] == "x" else 8) if len(text) <= MAX_DIGITS else text
        if _FLOAT.match(text) and len(text) <= MAX_DIGITS:
            number = float(text)
            return number if abs(number) < _INFINITE else text
        return text

    def _say(self, event: Any, value: str | None, message: str, hint: str | None) -> None:
        mark = event.start_mark
        path = tuple(self._path)
        self.problems.append(
            Problem(self._file, mark.line + 1, mark.column + 1, path, value, message, hint)
        )

    def _stop(self, event: Any, message: str, hint: str | None) -> Never:
        self._say(event, None, message, hint)
        raise IntentError(self.problems)


_STR = "tag:yaml.org,2002:str"
_INFINITE = float("inf")
_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_DECIMAL = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0([xo])([0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
