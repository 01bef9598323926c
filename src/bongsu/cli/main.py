"""The command line: verbs, and what happens when something goes wrong.

Exit codes: 0 all is well, or well but for warnings, 1 errors found or failure, 2 wrong usage. Modules
that take time to load are imported by the verbs that need them.
"""

import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bongsu.cli import agent, debug, demo, doctor, files, lab, probe, show
from bongsu.cli.output import EXIT_FINDINGS, fail, line

app = typer.Typer(
    name="bongsu",
    help="One YAML file to a WAN that you own: checked, rendered, proved in a lab, run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        line(f"bongsu {version('bongsu')}")
        raise typer.Exit


@app.callback()
def _program(
    shown: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The program's own options; its help is above."""


app.command()(files.check)
app.command()(files.render)
app.command()(files.plan)
app.command()(files.explain)
app.command()(files.schema)
app.command()(probe.probe)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.add_typer(lab.app, name="lab")
app.add_typer(agent.app, name="agent")
app.add_typer(show.app, name="show")
app.add_typer(debug.app, name="debug")


def run() -> None:
    """Entry point of the `bongsu` program."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # leave by the ordinary way, so that a lab is taken down
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        app()
    except BrokenPipeError:
        # `bongsu render … | head`: nobody listens any more, and that is fine
        sys.stderr.close()
        sys.exit(EXIT_FINDINGS)
    except Exception as error:
        # Errors of ours and the system's speak to the operator; anything else is a bug, shown whole.
        if not (type(error).__module__.startswith("bongsu.") or isinstance(error, OSError)):
            raise
        try:
            fail(str(error), getattr(error, "hint", ""))
        except typer.Exit as leave:
            sys.exit(leave.exit_code)
