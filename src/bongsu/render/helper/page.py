"""What a helper page consists of, before it is Markdown or HTML.

Words are ours, values come from the network file. They are kept apart (`Code` holds values), so that
no value can become markup in either language.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Plain:
    """Words of ours."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A value, a command or a name, as it is typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """What a display says, in its own words."""

    text: str


Text: TypeAlias = tuple[Plain | Code | Strong, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """The beginning of a step (level 2) or of a part of one (level 3)."""

    level: int
    text: Text


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: Text


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row is as wide as its header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What to run after a step, and what it should print."""

    commands: tuple[str, ...]
    expected: Text
    label: Literal["Check", "Run"] = "Check"
    """`Run` changes something."""


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Check


@dataclass(frozen=True, slots=True)
class Page:
    """A page for one VPN connection."""

    title: Text
    blocks: tuple[Block, ...]


def text(template: str, values: Mapping[str, str] | None = None) -> Text:
    """Words with `{names}` for values, *words of a display* and `what is typed`.

    KeyError for a name that has no value.
    """
    found: list[Plain | Code | Strong] = []
    for words, name, _, _ in Formatter().parse(template):
        found += _marked(words)
        if name is not None:
            found.append(Code((values or {})[name]))
    return tuple(found)


def plain_text(template: str, values: Mapping[str, str]) -> str:
    """The same without any mark, for a field's value. KeyError."""
    return template.format_map(dict(values))


def _marked(words: str) -> list[Plain | Code | Strong]:
    found: list[Plain | Code | Strong] = []
    for place, part in enumerate(words.split("`")):
        if place % 2:
            found.append(Code(part))
            continue
        for inner, piece in enumerate(part.split("*")):
            if piece:
                found.append(Strong(piece) if inner % 2 else Plain(piece))
    return found
