"""`bongsu show accelerator`: what enters and leaves, by which way, and what is dropped and why."""

from typing import Annotated

import typer

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.output import JsonOption
from bongsu.cli.show.accelerator_table import all_carry, view
from bongsu.cli.show.look import WatchOption, look


def accelerator(
    lab: LabOption = None,
    node: NodeOption = None,
    sessions: Annotated[
        bool, typer.Option("--sessions", help="Each session as well: client, off port, SPIs.")
    ] = False,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    state: StateOption = STATE,
) -> None:
    """Show each accelerator: its way, endpoints, sessions, bytes each way, and what was dropped.

    Exit 1 if one has no way or no endpoint that answers, or a node does not answer.
    """
    agents = find_agents(lab, node, state)
    arguments = {"sessions": True} if sessions else {}
    look(
        agents, "accelerator", view, fine=all_carry, watch=watch, as_json=as_json,
        arguments=arguments,
    )  # fmt: skip
