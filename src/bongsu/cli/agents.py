"""Whose agents a command asks: this machine's own, or those of a lab that is up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bongsu.cli.agent import STATE
from bongsu.cli.output import EXIT_USAGE, fail
from bongsu.lab.state import LabPaths
from bongsu.system.agent_client import SOCKET_NAME, AgentClient

LabOption = Annotated[
    str | None,
    typer.Option("--lab", "--name", help="Ask the agents of this lab, not the machine's own."),
]
NodeOption = Annotated[str | None, typer.Option("--node", help="Only this node of the lab.")]
StateOption = Annotated[Path, typer.Option("--state", help="The local agent's state directory.")]

THIS_NODE = ""
"""In place of a name: the machine's own agent, which knows what it is called."""


def find_agents(
    lab: str | None, node: str | None, state: Path = STATE
) -> Mapping[str, AgentClient]:
    """Clients by node. The machine's own agent, if it has one and no lab is named; else a lab's.

    Ends with an error that says what was looked for. Raises LabError.
    """
    local = AgentClient(state / SOCKET_NAME)
    if lab is None and node is None and local.path.exists():
        return {THIS_NODE: local}
    if lab is None and state != STATE:
        fail(f"no agent has its socket in {state}", code=EXIT_USAGE)
    return _of_lab(lab, node)


def _of_lab(name: str | None, node: str | None) -> Mapping[str, AgentClient]:
    from bongsu.cli.lab import open_lab

    found = open_lab(name)
    nodes = list(found.plans)
    if node is not None and node not in nodes:
        fail(f"no node {node} in lab {found.name}", "nodes: " + ", ".join(nodes), EXIT_USAGE)
    paths = LabPaths(found.name)
    return {one: AgentClient(paths.agent_socket(one)) for one in nodes if node in (None, one)}
