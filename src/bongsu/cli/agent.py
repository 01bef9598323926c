"""`bongsu agent`: the program that runs on every node, and questions to it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from bongsu.cli.output import print_json
from bongsu.system.agent_client import SOCKET_NAME, AgentClient, AgentError

app = typer.Typer(help="Run a node's agent, or ask it.", no_args_is_help=True)

StateOption = Annotated[Path, typer.Option("--state", help="The agent's state directory.")]
STATE = Path("/run/bongsu")

APPLY_WITHIN_S = 300.0
STOP_WITHIN_S = 60.0
STOP_POLL_S = 0.05


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
    options_metavar="--bundle DIR [OPTIONS]",
)
def run(context: typer.Context) -> None:
    """Apply a bundle to this machine and keep it so, until SIGTERM."""
    from bongsu.agent.main import run_agent
    from bongsu.agent.options import parse

    raise typer.Exit(run_agent(parse(context.args, "bongsu agent run")))


@app.command()
def apply(
    bundle: Annotated[Path, typer.Option(help="Bundle directory, as `render -o` writes it.")],
    state: StateOption = STATE,
) -> None:
    """Let the running agent apply a bundle; what it changed, JSON.

    When it starts again, or gets SIGHUP, it reads the bundle that it was started with.
    """
    print_json(_client(state, APPLY_WITHIN_S).call("apply", bundle=str(bundle.absolute())))


@app.command()
def stop(
    state: StateOption = STATE,
    purge: Annotated[
        bool, typer.Option("--purge", help="Put the machine back as it was found.")
    ] = False,
) -> None:
    """End the running agent and BIRD; tunnels and filters stay. Returns when it has ended."""
    client = _client(state)
    client.call("stop", purge=purge)
    deadline = time.monotonic() + STOP_WITHIN_S
    while _lives(client):
        if time.monotonic() > deadline:
            raise AgentError("busy", f"the agent still runs after {STOP_WITHIN_S:g} s")
        time.sleep(STOP_POLL_S)


@app.command()
def status(state: StateOption = STATE) -> None:
    """What the agent of this machine says of tunnels, daemons and sessions, JSON."""
    print_json(_client(state).call("status"))


@app.command()
def events(state: StateOption = STATE) -> None:
    """What has happened on this node and why, JSON."""
    print_json(_client(state).call("events"))


def _client(state: Path, timeout_s: float = 30.0) -> AgentClient:
    return AgentClient(state / SOCKET_NAME, timeout_s)


def _lives(client: AgentClient) -> bool:
    try:
        client.call("events", limit=1)
    except AgentError as error:
        return error.kind != "unreachable"
    return True
