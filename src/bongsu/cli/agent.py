"""`bongsu agent`: the program that runs on every node, and questions to it."""

from pathlib import Path
from typing import Annotated

import typer

from bongsu.cli.output import print_json
from bongsu.system.agent_client import SOCKET_NAME, AgentClient

app = typer.Typer(help="Run a node's agent, or ask it.", no_args_is_help=True)

StateOption = Annotated[Path, typer.Option("--state", help="The agent's state directory.")]
STATE = Path("/run/bongsu")


@app.command()
def run(
    bundle: Annotated[Path, typer.Option(help="Bundle directory, as `render -o` writes it.")],
    state: StateOption = STATE,
) -> None:
    """Apply a bundle to this machine and keep it so, until SIGTERM."""
    from bongsu.agent.main import run_agent

    raise typer.Exit(run_agent(bundle, state))


@app.command()
def status(state: StateOption = STATE) -> None:
    """What the agent of this machine says of tunnels, daemons and sessions, JSON."""
    print_json(AgentClient(state / SOCKET_NAME).call("status"))


@app.command()
def events(state: StateOption = STATE) -> None:
    """What has happened on this node and why, JSON."""
    print_json(AgentClient(state / SOCKET_NAME).call("events"))
