"""How bongsu speaks: people get colour on terminals and tables that fit, machines get JSON.

Answers go to standard output, everything about the way there to standard error.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

# emoji=False: rich would take the `:a:` of an IPv6 address for one, even where markup is off
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]

HANG = "    "
"""How far the second line of a sentence, and a hint, stands in."""

EXIT_FINDINGS = 1
EXIT_USAGE = 2


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with milliseconds (keys that end in `_ms`) to 0.001: clocks know no more."""
    return {
        key: round(value, 3) if key.endswith("_ms") and isinstance(value, float) else value
        for key, value in values.items()
    }


def line(text: str = "") -> None:
    """A line as it is: no markup, no wrapping, so that paths and commands can be copied."""
    out.print(text, markup=False, soft_wrap=True)


def sentence(
    text: str,
    *,
    to: Console | None = None,
    styles: Mapping[str, str] | None = None,
    indent: str = "",
    hang: str = HANG,
) -> None:
    """Prose on standard output: folded at a terminal's width, one line for anything else.

    `styles` are patterns and what the first match of each looks like. No word is broken.
    """
    console = out if to is None else to
    width = console.width if console.is_terminal else None
    shown = Text(folded(text, width, indent, hang))
    for pattern, style in (styles or {}).items():
        if match := re.search(pattern, shown.plain):
            shown.stylize(style, *match.span())
    console.print(shown, soft_wrap=True)


def folded(text: str, width: int | None, indent: str = "", hang: str = HANG) -> str:
    """The text in lines of `width` columns, `indent` before the first and also `hang` before others.

    Whole, on one line, where the width is None. A word that is wider stays whole, to be copied.
    """
    if width is None:
        return indent + text
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def text(whole: str) -> None:
    """A file's text on standard output, byte for byte."""
    sys.stdout.write(whole)


def fail(message: str, hint: str = "", code: int = EXIT_FINDINGS) -> NoReturn:
    """Say what went wrong and what to do, and end."""
    sentence(f"error: {message}", to=err, styles={"^error": "bold red"})
    if hint:
        sentence(f"hint: {hint}", to=err, styles={"^hint": "cyan"})
    raise typer.Exit(code)


class Phases:
    """What is being done, on anything but a terminal: a line on standard error for each phase."""

    def __init__(self, text: str) -> None:
        self._last = ""
        self.update(text)

    def update(self, text: str) -> None:
        """Another phase, if it is another."""
        if text != self._last:
            err.print(text, markup=False, soft_wrap=True)
            self._last = text


@contextmanager
def working(text: str) -> Iterator[Status | Phases]:
    """A spinner on a terminal while something takes its time; lines on anything else."""
    if err.is_terminal:
        with err.status(text) as status:
            yield status
    else:
        yield Phases(text)
