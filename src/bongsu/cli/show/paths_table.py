"""An agent's word on the paths between PoPs as lines of text. Pure: no clock, no terminal."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from bongsu.cli.show.columns import Row, Table, clock, draw

TABLE = Table(
    ("From", "To", "p50 ms", "p99", "Jitter", "Loss %", "Way", "Since"),
    frozenset({"From", "To", "Way"}),
    (("Way", 6), ("From", 4), ("To", 4)),
)
HISTORY = Table(
    ("Ago", "p50 ms", "p99", "Jitter", "Loss %", "Way"),
    frozenset({"Way"}),
    (("Way", 6),),
)
NONE = "-"
DEAD = "dead"


def view(answer: dict[str, Any], width: int) -> Text:
    """The matrix of one agent's answer to `paths`: its own rows, and those that it was told."""
    rows = [row(path) for path in answer["paths"]]
    rows += [told_row(path) for path in answer["told"]]
    text = draw(TABLE, rows, width, "no path is measured here")
    if rows:
        text.append(f"\nof the last {answer['window_s']} s, there and back", style="dim")
    if answer["history"]:
        text.append("\n\n")
        past = [history_row(each) for each in reversed(answer["history"])]
        text.append_text(draw(HISTORY, past, width, ""))
    return text


def all_live(answer: dict[str, Any]) -> bool:
    """Whether there is a way to every PoP."""
    return all(path["way_state"] != "dead" for path in answer["paths"])


def row(path: Mapping[str, Any]) -> Row:
    """A row of one of the node's own paths."""
    change = path["last_change"]
    notes = (f"{path['way']}, because {change['why']}",) if change is not None else ()
    way = path["way"] if path["way_state"] != "dead" else f"{path['way']} (dead)"
    return Row((*_ends(path), *_figures(path), way, clock(path["since_s"])), notes)


def told_row(path: Mapping[str, Any]) -> Row:
    """A row of a path that another PoP measured and told."""
    return Row((*_ends(path), *_figures(path), NONE, NONE))


def history_row(each: Mapping[str, Any]) -> Row:
    """A row of a window that has passed."""
    return Row((clock(each["ago_s"]), *_figures(each), each["way"]))


def _ends(path: Mapping[str, Any]) -> tuple[str, str]:
    return path["from"], path["to"]


def _figures(path: Mapping[str, Any]) -> tuple[str, ...]:
    state = path.get("state", "alive")
    if state == "unknown":
        return (NONE,) * 4
    loss = DEAD if state == "dead" else f"{path['loss'] * 100:.1f}"
    return (*(_ms(path.get(key)) for key in ("p50_ms", "p99_ms", "jitter_ms")), loss)


def _ms(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
