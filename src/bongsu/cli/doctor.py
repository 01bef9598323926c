"""`bongsu doctor`: what this machine can do, and which backend will carry what."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from bongsu.cli.output import EXIT_FINDINGS, JsonOption, out, print_json

if TYPE_CHECKING:
    from bongsu.system.doctor import Capability


def doctor(as_json: JsonOption = False) -> None:
    """Try what this machine can do; exit 1 if something that every node needs is missing."""
    from bongsu.system.doctor import diagnose

    found = diagnose()
    if as_json:
        print_json([asdict(item) for item in found])
    else:
        out.print(_table(found))
    if not all(item.ok for item in found if item.needed):
        raise typer.Exit(EXIT_FINDINGS)


def _table(found: "list[Capability]") -> Table:
    table = Table("Capability", "", "Detail", "What to do")
    for item in found:
        mark = "[green]yes[/]" if item.ok else "[yellow]no[/]"
        table.add_row(item.name, mark, item.detail, item.hint or "")
    return table
