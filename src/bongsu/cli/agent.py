"""`bongsu agent`: the program that runs on every node, and questions to it."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bongsu.cli.output import EXIT_USAGE, JsonOption, fail, line, print_json, sentence
from bongsu.system.agent_client import SOCKET_NAME, AgentClient, AgentError

app = typer.Typer(help="Run a node's agent, or ask it.", no_args_is_help=True)

StateOption = Annotated[Path, typer.Option("--state", help="The agent's state directory.")]
STATE = Path("/run/bongsu")
UPLINK = Path("/var/lib/bongsu/uplink")
LabOption = Annotated[str | None, typer.Option("--lab", help="Ask a node of this lab.")]
NodeOption = Annotated[str | None, typer.Option("--node", help="Which node of the lab.")]

FOLLOW_POLL_S = 0.3
"""Events carry their own time; this is only how late they are seen."""
ALL_EVENTS = 2000
"""As many as an agent keeps."""
LEVELS = {"warning": "yellow", "error": "bold red"}

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
def enroll(
    token: Annotated[str, typer.Argument(help="As `bongsu tower token NODE` prints it.")],
    tower: Annotated[str, typer.Option(help="The tower's port for newcomers, HOST:PORT.")],
    uplink: Annotated[
        Path, typer.Option("--uplink", help="The directory of this node's uplink.")
    ] = UPLINK,
    netns: Annotated[
        str | None, typer.Option(help="The network namespace of the management network.")
    ] = None,
    interface: Annotated[
        str | None, typer.Option(help="The management interface: no other way is taken.")
    ] = None,
    spool_mib: Annotated[
        int, typer.Option(min=16, help="Bound of what waits for the tower, on disk.")
    ] = 256,
) -> None:
    """Let this node in at a tower: make a key, and have it certified for a one-time token.

    After that, `bongsu agent run --uplink DIR` tells the tower what happens here.
    """
    import asyncio

    from bongsu.agent.uplink.enrol import enrol
    from bongsu.agent.uplink.home import Home
    from bongsu.system.management import Place, split

    try:
        host, port = split(tower)
    except ValueError as error:
        fail(str(error), code=EXIT_USAGE)
    choices = {"spool_bytes": spool_mib * 1024 * 1024}
    settings = asyncio.run(enrol(Home(uplink), token, host, port, Place(netns, interface), choices))
    line(f"{settings.node}: enrolled at {settings.host} port {settings.port}")
    line(f"next: bongsu agent run --uplink {uplink} ...")


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
def status(
    state: StateOption = STATE,
    lab: LabOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the agent of this machine says of tunnels, sessions and daemons."""
    from bongsu.cli.agent_view import status_text

    answer = _asked(state, lab, node).call("status")
    if as_json:
        print_json(answer)
    else:
        line(status_text(answer))


@app.command()
def events(
    state: StateOption = STATE,
    lab: LabOption = None,
    node: NodeOption = None,
    since: Annotated[
        int | None,
        typer.Option(min=0, help="Events after this number; without it, the newest hundred."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new ones, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what has happened on this node and why; times are UTC.

    With --follow and --json, one JSON document a line.
    """
    client = _asked(state, lab, node)
    found = client.call("events") if since is None else _since(client, since)
    if as_json and not follow:
        print_json(found)
        return
    try:
        last: dict[str, Any] | None = None
        while True:
            for event in found:
                _show_event(event, as_json)
                last = event
            if not follow:
                return
            time.sleep(FOLLOW_POLL_S)
            found = _since(client, 0) if last is None else _after(client, last)
    except KeyboardInterrupt:
        return


def _show_event(event: dict[str, Any], as_json: bool) -> None:
    from bongsu.cli.agent_view import event_text

    if as_json:
        line(json.dumps(event))
        return
    level = event["level"]
    styles = {rf"\b{level}\b": LEVELS[level]} if level in LEVELS else {}
    sentence(event_text(event), styles=styles)


def _after(client: AgentClient, last: dict[str, Any]) -> list[dict[str, Any]]:
    """Events after one that is known. Another agent counts anew: all of its own."""
    found = _since(client, last["sequence"] - 1)
    if found and found[0]["monotonic_ns"] == last["monotonic_ns"]:
        return found[1:]
    overtaken = bool(found) and found[0]["sequence"] > last["sequence"]
    return found if overtaken else _since(client, 0)


def _since(client: AgentClient, sequence: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.call("events", since=sequence, limit=ALL_EVENTS)
    return found


def _asked(state: Path, lab: str | None, node: str | None) -> AgentClient:
    """This machine's agent, or the one node of a lab that is named."""
    if lab is None and node is None:
        return _client(state)
    from bongsu.cli.agents import find_agents

    agents = find_agents(lab, node, state)
    if len(agents) > 1:
        fail("which node of the lab?", "--node " + ", ".join(agents), EXIT_USAGE)
    return next(iter(agents.values()))


def _client(state: Path, timeout_s: float = 30.0) -> AgentClient:
    return AgentClient(state / SOCKET_NAME, timeout_s)


def _lives(client: AgentClient) -> bool:
    try:
        client.call("events", limit=1)
    except AgentError as error:
        return error.kind != "unreachable"
    return True
