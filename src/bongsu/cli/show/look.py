"""One look at all agents, or one every second: what the commands of `bongsu show` have in common."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, fail, folded, out, print_json
from bongsu.system.agent_client import AgentClient, AgentError

WATCH_EVERY_S = 1.0
NARROWEST = 80
"""Columns that every table fits."""

WatchOption = Annotated[bool, typer.Option("--watch", help="Look every second, until Ctrl-C.")]
Answer = dict[str, Any] | str
"""What an agent says, or why it says nothing."""


def look(
    agents: Mapping[str, AgentClient],
    request: str,
    view: Callable[[dict[str, Any], int], RenderableType],
    *,
    fine: Callable[[dict[str, Any]], bool],
    watch: bool,
    as_json: bool,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Ask, and show `view(answer, width)` of each. Exit 1 unless all answer and all are `fine`."""
    if watch and as_json:
        fail("--watch is for people, --json for machines: choose one", code=EXIT_USAGE)
    if watch:
        _watch(lambda: _page(_ask(agents, request, arguments or {}), view))
        return
    found = _ask(agents, request, arguments or {})
    if as_json:
        print_json([
            {"node": name or None, "error": answer} if isinstance(answer, str)
            else {**answer, "error": None}
            for name, answer in found.items()
        ])  # fmt: skip
    else:
        # On a page that is narrower still, the terminal folds: nothing of a table is left out.
        out.print(_page(found, view), soft_wrap=True)
    if not all(isinstance(answer, dict) and fine(answer) for answer in found.values()):
        raise typer.Exit(EXIT_FINDINGS)


def _ask(
    agents: Mapping[str, AgentClient], request: str, arguments: Mapping[str, Any]
) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for name, agent in agents.items():
        try:
            found[name] = agent.call(request, **arguments)
        except AgentError as error:
            found[name] = str(error)
    return found


def _page(
    found: Mapping[str, Answer], view: Callable[[dict[str, Any], int], RenderableType]
) -> RenderableType:
    parts: list[RenderableType] = []
    for name, answer in found.items():
        if len(found) > 1:
            parts.append(Text(name, style="bold"))
        if isinstance(answer, str):
            parts.append(Text(folded(answer, out.width if out.is_terminal else None), style="red"))
        else:
            parts.append(view(answer, max(out.width, NARROWEST)))
    return Group(*parts)


def _watch(page: Callable[[], RenderableType]) -> None:
    """One screen that changes; on anything but a terminal one look after the other."""
    try:
        while not out.is_terminal:
            out.print(page())
            time.sleep(WATCH_EVERY_S)
        with Live(page(), console=out, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(page(), refresh=True)
    except KeyboardInterrupt:
        return
