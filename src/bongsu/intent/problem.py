"""What is wrong with a network file, in the words of the person who wrote it.

A problem names the place, the value and the way out. Values under a secret are never in it.
"""

from dataclasses import dataclass

HIDDEN = "<hidden>"
"""Stands where a secret's value would."""

SHOWN = 60
"""Characters of a value that are shown: enough to know it again, and one line of a terminal."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of the file. `line` and `column` count from 1; `value` is None if none is meant."""

    file: str
    line: int
    column: int
    path: Path
    value: str | None
    message: str
    hint: str | None = None

    def __post_init__(self) -> None:
        # Words of the file are in all of these, and a terminal obeys control characters.
        for name in ("value", "message", "hint"):
            text = getattr(self, name)
            if text is not None and not text.isprintable():
                object.__setattr__(self, name, printable(text))

    def text(self) -> str:
        """`FILE:LINE:COLUMN: PATH: MESSAGE`, and the hint on a line of its own."""
        where = f"{self.file}:{self.line}:{self.column}: "
        if self.path:
            where += f"{path_text(self.path)}: "
        shown = "" if self.value is None else f"{self.value}: "
        hint = "" if self.hint is None else f"\n    hint: {self.hint}"
        return f"{where}{shown}{self.message}{hint}"


class IntentError(Exception):
    """The file does not describe a network. Carries all problems, in the order of lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(
            problems, key=lambda item: (item.line, item.column, str(item.path), item.message)
        )
        super().__init__("\n".join(problem.text() for problem in self.problems))


def path_text(path: Path) -> str:
    """A path as an operator writes it: `tunnels.gre-seoul.ends.home.addresses[0]`."""
    parts: list[str] = []
    for item in path:
        if isinstance(item, int):
            parts.append(f"[{item}]")
        else:
            parts.append(f".{item}" if parts else item)
    return printable("".join(parts))


def printable(text: str) -> str:
    """The text on one line and without control characters, which are written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def value_text(value: object) -> str:
    """A value as it may be shown: one line, bounded."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    # Bounded first: escaping a megabyte only to cut it is a waste.
    shown = printable(text[:SHOWN])
    if isinstance(value, str):
        shown = f'"{shown}"'
    return shown + ("..." if len(text) > SHOWN else "")
