"""`bongsu show keepalive`: every tunnel's line protocol, as its keepalives see it."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, JsonOption, fail, out, print_json
from bongsu.cli.show.keepalive_table import Row, is_down, row, table
from bongsu.system.agent_client import AgentClient, AgentError

WATCH_EVERY_S = 1.0
NARROWEST = 80
"""Columns that the table always fits."""
LATE = "sent at normal priority: on a busy machine they may leave late"


def keepalive(
    lab: LabOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look every second, until Ctrl-C.")
    ] = False,
    state: StateOption = STATE,
) -> None:
    """Show each tunnel's line protocol, counter, keepalives sent, received and lost, and RTT.

    Exit 1 if the line protocol of one is down, or a node does not answer.
    """
    if watch and as_json:
        fail("--watch is for people, --json for machines: choose one", code=EXIT_USAGE)
    agents = find_agents(lab, node, state)
    if watch:
        _watch(agents)
        return
    found = {name: _ask(agent) for name, agent in agents.items()}
    if as_json:
        print_json([_as_json(name, answer) for name, answer in found.items()])
    else:
        # On a page that is narrower still, the terminal folds: nothing of a table is left out.
        out.print(_view(found), soft_wrap=True)
    tunnels = [t for answer in found.values() if isinstance(answer, dict) for t in _tunnels(answer)]
    silent = any(isinstance(answer, str) for answer in found.values())
    if silent or any(is_down(tunnel) for tunnel in tunnels):
        raise typer.Exit(EXIT_FINDINGS)


def _watch(agents: Mapping[str, AgentClient]) -> None:
    """One screen that changes; on anything but a terminal one look after the other."""

    def look() -> RenderableType:
        return _view({name: _ask(agent) for name, agent in agents.items()})

    try:
        while not out.is_terminal:
            out.print(look())
            time.sleep(WATCH_EVERY_S)
        with Live(look(), console=out, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        return


def _ask(agent: AgentClient) -> dict[str, Any] | str:
    """The agent's status, or why there is none."""
    try:
        status: dict[str, Any] = agent.call("status")
    except AgentError as error:
        return str(error)
    return status


def _tunnels(status: dict[str, Any]) -> list[dict[str, Any]]:
    tunnels: list[dict[str, Any]] = status["tunnels"]
    return tunnels


def _as_json(node: str, answer: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"node": node or None, "error": answer, "tunnels": []}
    keys = ("name", "peer", "local", "remote", "held", "keepalive")
    tunnels = [{key: tunnel.get(key) for key in keys} for tunnel in _tunnels(answer)]
    return {"node": answer["node"], "error": None, "tunnels": tunnels}


def _view(found: dict[str, dict[str, Any] | str]) -> RenderableType:
    """The tables of all nodes, one below the other, with the same columns."""
    rows: dict[str, list[Row]] = {
        name: [row(tunnel) for tunnel in _tunnels(answer)]
        for name, answer in found.items()
        if isinstance(answer, dict)
    }
    parts: list[RenderableType] = []
    for name, answer in found.items():
        if len(found) > 1:
            parts.append(Text(name, style="bold"))
        if isinstance(answer, str):
            parts.append(Text(answer, style="red"))
            continue
        parts.append(table(rows[name], max(out.width, NARROWEST), list(rows.values())))
        sending = [tunnel["keepalive"] for tunnel in _tunnels(answer) if tunnel["keepalive"]]
        if any(own["scheduler"] != "fifo" for own in sending):
            parts.append(Text(LATE, style="yellow"))
    return Group(*parts)
