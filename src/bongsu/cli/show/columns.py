"""Rows under headings as lines of text, no wider than the page. Pure: no clock, no terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from bongsu.cli.output import folded
from bongsu.cli.show.keepalive_table import quantity

UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Table:
    """How a table is laid out."""

    headings: tuple[str, ...]
    left: frozenset[str]
    """Headings whose cells stand at the left; numbers stand at the right."""
    shrinks: tuple[tuple[str, int], ...] = ()
    """Columns that give way where it is too narrow, in this order, and how far."""
    styled: str = ""
    """The heading whose cells have a colour."""
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Cells under the headings, and lines that are said below them."""

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()


def draw(table: Table, rows: Sequence[Row], width: int, none: str) -> Text:
    """The rows, or the word for none."""
    if not rows:
        return Text(f"  {none}")
    widths = _widths(table, [table.headings, *(row.cells for row in rows)], width)
    text = Text(_line(table, table.headings, widths))
    for row in rows:
        text.append("\n")
        start = len(text)
        text.append(_line(table, row.cells, widths))
        if table.styled:
            index = table.headings.index(table.styled)
            begin = start + sum(widths[:index]) + index
            style = table.styles.get(row.cells[index], "")
            text.stylize(style, begin, begin + widths[index])
        cut_short = zip(table.headings, row.cells, widths, strict=True)
        whole = [f"{heading}: {cell}" for heading, cell, room in cut_short if len(cell) > room]
        for note in (*whole, *row.notes):
            # Whole: why a tunnel is down is what somebody looks for.
            text.append(f"\n{folded(note, width, '  ')}", style="dim")
    return text


def size(octets: int) -> str:
    """Bytes in three digits and a unit of thousands."""
    value, index = float(octets), 0
    while value >= 999.5 and index < len(UNITS) - 1:
        value, index = value / 1000, index + 1
    return f"{octets} B" if index == 0 else f"{value:.3g} {UNITS[index]}"


def clock(seconds: float | None) -> str:
    """How long, as vtysh writes it: `00:02:13`, `1d02h03m`, `3w01d02h`; `never`."""
    if seconds is None:
        return "never"
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    hours, minutes = rest // 3600, rest // 60 % 60
    if days >= 7:
        return f"{days // 7}w{days % 7}d{hours:02}h"
    if days:
        return f"{days}d{hours:02}h{minutes:02}m"
    return f"{hours:02}:{minutes:02}:{whole % 60:02}"


def count(number: int | None) -> str:
    """A count, or a dash where nobody counts."""
    return "-" if number is None else quantity(number)


def cut(text: str, width: int) -> str:
    """The beginning, with a sign that there is more."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _widths(table: Table, lines: Sequence[tuple[str, ...]], width: int) -> list[int]:
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.headings))]
    for heading, least in table.shrinks:
        index = table.headings.index(heading)
        over = sum(widths) + len(widths) - 1 - width
        if over > 0:
            widths[index] = max(least, widths[index] - over)
    return widths


def _line(table: Table, cells: Sequence[str], widths: Sequence[int]) -> str:
    fields = [
        cut(cell, width).ljust(width) if heading in table.left else cell.rjust(width)
        for cell, width, heading in zip(cells, widths, table.headings, strict=True)
    ]
    return " ".join(fields).rstrip()
