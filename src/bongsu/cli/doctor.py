"""`bongsu doctor`: what this machine can do, and which backend will carry what."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from bongsu.cli.output import EXIT_FINDINGS, JsonOption, folded, out, print_json

if TYPE_CHECKING:
    from bongsu.system.doctor import Capability

GAP = "  "
NARROWEST = 20
"""Columns that what was found always has, also on a page too narrow for all."""


def doctor(as_json: JsonOption = False) -> None:
    """Try what this machine can do; exit 1 if something that every node needs is missing."""
    from bongsu.system.doctor import diagnose

    found = diagnose()
    if as_json:
        print_json([asdict(item) for item in found])
    else:
        out.print(view(found, out.width), soft_wrap=True)
    if not all(item.ok for item in found if item.needed):
        raise typer.Exit(EXIT_FINDINGS)


def view(found: "list[Capability]", width: int) -> Text:
    """A line or more for each: its name, whether it is there, what was found; what to do below it."""
    names = max((len(item.name) for item in found), default=0)
    before = names + len(GAP) + len("yes") + len(GAP)
    text = Text()
    for item in found:
        lines = _lines(item.detail, width - before)
        hint = [f"  {line}" for line in _lines(item.hint, width - before - 2)] if item.hint else []
        text.append(f"{item.name:<{names}}{GAP}")
        text.append("yes" if item.ok else "no ", "green" if item.ok else "yellow")
        text.append(GAP + lines[0] + "\n")
        for line in lines[1:]:
            text.append(f"{'':{before}}{line}\n")
        for line in hint:
            text.append(f"{'':{before}}{line}\n", "dim")
    text.rstrip()
    return text


def _lines(words: str, width: int) -> list[str]:
    return folded(words, max(width, NARROWEST), hang="").splitlines() or [""]
