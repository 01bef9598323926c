"""`bongsu tower`: make a tower, run it, let nodes in and out."""

import re
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, JsonOption, fail, line, out, print_json
from bongsu.system.clock import Clock

app = typer.Typer(help="The control tower: make it, run it, let nodes in.", no_args_is_help=True)

STATE = Path("/var/lib/bongsu-tower")
StateOption = Annotated[Path, typer.Option("--state", help="The tower's directory.")]
NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VALID = re.compile(r"(\d+)(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command()
def init(
    host: Annotated[
        str, typer.Option(help="Where nodes find it: a name or an address, without a port.")
    ],
    state: StateOption = STATE,
    node_port: Annotated[int, typer.Option(min=1, max=65535, help="For nodes.")] = 8743,
    enrolment_port: Annotated[int, typer.Option(min=1, max=65535, help="For newcomers.")] = 8744,
    listen: Annotated[
        str, typer.Option(help="The address to listen on; without it, every one.")
    ] = "",
    certificate_days: Annotated[
        float,
        typer.Option(min=0.01, max=365, help="How long a node's certificate is valid."),
    ] = 7.0,
) -> None:
    """Make a tower: its directory, and an authority of its own."""
    from bongsu.tower.authority import found
    from bongsu.tower.files import Layout, Settings

    settings = Settings(host, node_port, enrolment_port, listen, certificate_days)
    found(Layout(state), settings, Clock().utc())
    line(f"{state}: made; its authority's key is in it, so keep it as you keep a key")
    line(f"next: bongsu tower run --state {state}")


@app.command()
def run(state: StateOption = STATE) -> None:
    """Run the tower until SIGTERM. Its log, JSON lines, goes to standard error."""
    from bongsu.tower.main import run_tower

    def ready(node_port: int, enrolment_port: int) -> None:
        line(f"ready: nodes on port {node_port}, newcomers on port {enrolment_port}")
        out.file.flush()

    run_tower(state, ready)


@app.command()
def token(
    node: Annotated[str, typer.Argument(help="The node's name, as in the network file.")],
    state: StateOption = STATE,
    valid: Annotated[str, typer.Option(help="How long: minutes, hours or days.")] = "1h",
    as_json: JsonOption = False,
) -> None:
    """Print a one-time token for a node. One that was made for it before is void.

    Whoever has the token becomes the node: carry it as a password, on a way of its own.
    """
    if not NODE_NAME.fullmatch(node):
        fail(
            f"{node!r} is no name of a node",
            "lower case, digits and hyphens, 31 characters at most", EXIT_USAGE,
        )  # fmt: skip
    match = _VALID.fullmatch(valid)
    if match is None or int(match[1]) == 0:
        fail(f"--valid {valid!r}", "30m, 1h or 2d", EXIT_USAGE)
    from bongsu.tower.authority import Authority
    from bongsu.tower.files import Layout
    from bongsu.tower.store.state import State

    layout = Layout(state)
    settings = layout.need()
    now = Clock().utc()
    store = State(layout.state)
    try:
        ends = timedelta(**{_UNITS[match[2]]: int(match[1])})
        made = Authority(layout, settings, store).invite(node, ends, now)
    finally:
        store.close()
    where = f"[{settings.host}]" if ":" in settings.host else settings.host
    tower = f"{where}:{settings.enrolment_port}"
    if as_json:
        print_json({"node": node, "token": str(made), "tower": tower, "ends": now + ends})
        return
    line(f"bongsu agent enroll --tower {tower} {made}")


@app.command()
def nodes(state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """Show the nodes that the tower knows."""
    from bongsu.tower.files import Layout
    from bongsu.tower.store.state import State

    layout = Layout(state)
    layout.need()
    store = State(layout.state)
    try:
        rows = store.nodes()
    finally:
        store.close()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        line("no node is enrolled")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("node", "seen", "certificate until", "plan"):
        table.add_column(heading)
    for heading in ("records", "missing", "unreadable"):
        table.add_column(heading, justify="right")
    now = Clock().utc()
    for row in rows:
        numbers = (str(row.records), str(row.missing), str(row.unreadable))
        ends = _time(row.certificate_ends) if row.certificate_ends else "none that counts"
        table.add_row(row.name, _ago(row.seen, now), ends, row.plan[:12], *numbers)
    out.print(table)


@app.command()
def remove(
    node: Annotated[str, typer.Argument(help="The node's name.")], state: StateOption = STATE
) -> None:
    """Let a node in no more: its certificates and tokens are void, its stream ends within a second.

    What it has told stays.
    """
    from bongsu.tower.files import Layout
    from bongsu.tower.store.state import State

    layout = Layout(state)
    layout.need()
    store = State(layout.state)
    try:
        known = store.remove(node, Clock().utc())
    finally:
        store.close()
    if not known:
        fail(f"there is no node {node}", "bongsu tower nodes lists them", EXIT_FINDINGS)
    line(f"{node}: removed")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    seconds = max(0, round((now - at).total_seconds()))
    steps: list[tuple[int, Any]] = [(86400, "d"), (3600, "h"), (60, "min")]
    for size, unit in steps:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
