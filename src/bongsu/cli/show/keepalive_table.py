"""An agent's word on its keepalives as lines of text, 80 columns wide. Pure: no clock, no terminal.

The words are those of IOS: `up/down` is up by administration, and down by line protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from bongsu.cli.output import folded

HEADINGS = (
    "Tunnel",
    "Peer",
    "State",
    "Count",
    "Every",
    "Sent",
    "Rcvd",
    "Lost",
    "RTT ms min/avg/max",
)
LEFT = {"Tunnel", "Peer", "State"}
SHRINKS = (("Peer", 4), ("Tunnel", 4))
"""Columns that give way where it is too narrow, in this order, and how far."""
STYLES = {"up/up": "green", "up/down": "bold red"}
NONE = "-"
HELD = "held down, for the way to its peer leads into a tunnel"


@dataclass(frozen=True)
class Row:
    """A tunnel: its cells under HEADINGS, and what is said below them."""

    cells: tuple[str, ...]
    note: str


def row(tunnel: dict[str, Any]) -> Row:
    """A row of one entry of `tunnels` of an agent's status; `keepalive` is null where none is sent."""
    own, held = tunnel["keepalive"], tunnel.get("held")
    names = (tunnel["name"], tunnel["peer"])
    before = [HELD] if held else []
    if own is None:
        cells = (*names, "up/down" if held else NONE, *(NONE,) * (len(HEADINGS) - 3))
        return Row(cells, "; ".join([*before, "no keepalive at this end"]))
    cells = (
        *names,
        f"up/{'down' if held else own['line_protocol']}",
        f"{quantity(own['counter'])}/{own['retries']}",
        interval(own["interval_ms"]),
        *(quantity(own[what]) for what in ("sent", "received", "lost")),
        round_trips(own["rtt_ms"]),
    )
    return Row(cells, "; ".join(before + _notes(own)))


def is_down(tunnel: dict[str, Any]) -> bool:
    """Whether the line protocol is down: by keepalives, or held down because of recursive routing."""
    own = tunnel["keepalive"]
    return bool(tunnel.get("held")) or (own is not None and own["line_protocol"] != "up")


def table(rows: Sequence[Row], width: int, beside: Sequence[Sequence[Row]] = ()) -> Text:
    """The rows under their headings, in lines of `width` at most (80 or more).

    `beside` are tables that stand on the same page, and shall have the same columns.
    """
    if not rows:
        return Text("  no tunnel")
    everything = [HEADINGS, *(one.cells for group in beside or [rows] for one in group)]
    widths = _widths(everything, width)
    text = Text(_line(HEADINGS, widths), style="", no_wrap=True, overflow="ellipsis")
    for one in rows:
        text.append("\n")
        start = len(text)
        text.append(_line(one.cells, widths))
        # The state is never shortened, and stands after the two columns that may be.
        begin = start + widths[0] + widths[1] + 2
        text.stylize(STYLES.get(one.cells[2], ""), begin, begin + len(one.cells[2]))
        for note in (*_whole(one.cells, widths), one.note):
            if note:
                text.append(f"\n{folded(note, width, '  ')}", style="dim")
    return text


def interval(milliseconds: float) -> str:
    """Whole seconds as Cisco has them, else milliseconds."""
    if milliseconds % 1000 == 0:
        return f"{milliseconds / 1000:.0f} s"
    return f"{milliseconds:g} ms"


def quantity(number: int) -> str:
    """A count in seven characters at most: from a million on, in millions and more."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if number >= size:
            return (
                f"{number / size:.3g}{unit}" if number < 1000 * size else f"{number // size}{unit}"
            )
    return str(number)


def round_trips(rtt: dict[str, float] | None) -> str:
    """Shortest, mean and longest, in milliseconds of three digits."""
    if rtt is None:
        return NONE
    return "/".join(_digits(rtt[what]) for what in ("min", "avg", "max"))


def ago(seconds: float) -> str:
    """How long, in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _notes(own: dict[str, Any]) -> list[str]:
    changed = own["last_change"]
    if changed is None:
        notes = [f"unchanged for {ago(own['since_s'])}"]
    else:
        notes = [f"{changed['state']} for {ago(own['since_s'])}: {changed['cause']}"]
    refused = sum(own["refused"].values())
    if refused:
        worst = max(own["refused"], key=lambda reason: own["refused"][reason])
        notes.append(f"{quantity(refused)} refused, mostly {worst.replace('_', ' ')}")
    if own["send_errors"]:
        notes.append(f"{quantity(own['send_errors'])} not sent: {own['last_error']}")
    return notes


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _widths(lines: Sequence[tuple[str, ...]], width: int) -> list[int]:
    widths = [max(len(line[index]) for line in lines) for index in range(len(HEADINGS))]
    for heading, least in SHRINKS:
        index = HEADINGS.index(heading)
        over = sum(widths) + len(widths) - 1 - width
        if over > 0:
            widths[index] = max(least, widths[index] - over)
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fields = [
        _cut(cell, width).ljust(width) if heading in LEFT else cell.rjust(width)
        for cell, width, heading in zip(cells, widths, HEADINGS, strict=True)
    ]
    return " ".join(fields).rstrip()


def _whole(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """What had to be cut, in full."""
    return [
        f"{heading}: {cell}"
        for heading, cell, width in zip(HEADINGS, cells, widths, strict=True)
        if len(cell) > width
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
