"""`bongsu show paths`: what the PoPs measured of each other, and by which way they send."""

from typing import Annotated, Any

import typer

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.output import JsonOption
from bongsu.cli.show.look import WatchOption, look
from bongsu.cli.show.paths_table import all_live, view


def paths(
    lab: LabOption = None,
    node: NodeOption = None,
    history: Annotated[
        str | None,
        typer.Option("--history", metavar="POP", help="Also the path to it, up to a day."),
    ] = None,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    state: StateOption = STATE,
) -> None:
    """Show the paths between PoPs: RTT, jitter and loss of the direct one, and the way in use.

    Exit 1 if there is no way to a PoP, or a node does not answer.
    """
    arguments: dict[str, Any] = {} if history is None else {"history": history}
    look(
        find_agents(lab, node, state), "paths", view, fine=all_live, watch=watch,
        as_json=as_json, arguments=arguments,
    )  # fmt: skip
