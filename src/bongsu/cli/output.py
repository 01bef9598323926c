"""How bongsu speaks: people get colour on terminals and tables that fit, machines get JSON.

Answers go to standard output, everything about the way there to standard error.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.status import Status

# emoji=False: rich would take the `:a:` of an IPv6 address for one, even where markup is off
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)

EXIT_FINDINGS = 1
EXIT_USAGE = 2


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def line(text: str = "") -> None:
    """A line as it is: no markup, no wrapping, so that paths and commands can be copied."""
    out.print(text, markup=False, soft_wrap=True)


def text(whole: str) -> None:
    """A file's text on standard output, byte for byte."""
    sys.stdout.write(whole)


def fail(message: str, hint: str = "", code: int = EXIT_FINDINGS) -> NoReturn:
    """Say what went wrong and what to do, and end."""
    err.print(f"[bold red]error[/]: {_plain(message)}", soft_wrap=True)
    if hint:
        err.print(f"[cyan]hint[/]: {_plain(hint)}", soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def working(text: str) -> Iterator[Status]:
    """A spinner on a terminal while something takes its time; a line on anything else."""
    if err.is_terminal:
        with err.status(text) as status:
            yield status
    else:
        status = Status(text, console=Console(quiet=True))
        yield status


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
