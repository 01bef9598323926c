"""`bongsu doctor`: what this machine can do, and which backend will carry what."""

import typer
from rich.table import Table

from bongsu.cli.output import out, print_json
from bongsu.cli.source import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Try what this machine can do; exit 1 if something that every node needs is missing."""
    from bongsu.system.doctor import diagnose

    found = diagnose()
    if as_json:
        print_json([vars(item) if hasattr(item, "__dict__") else item for item in found])
        return
    table = Table("Capability", "", "Detail", "What to do")
    for item in found:
        mark = "[green]yes[/]" if item.ok else "[yellow]no[/]"
        table.add_row(item.name, mark, item.detail, item.hint or "")
    out.print(table)
    if not all(item.ok for item in found if getattr(item, "needed", False)):
        raise typer.Exit(1)
