"""The command line: verbs, and what happens when something goes wrong.

Exit codes: 0 all is well, or well but for warnings, 1 errors found or failure, 2 wrong usage.
"""

import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bongsu.cli.output import EXIT_FINDINGS, fail, line
from bongsu.cli.verbs import Verbs

app = typer.Typer(
    name="bongsu",
    cls=Verbs,
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
            fail(_words(error), getattr(error, "hint", ""))
        except typer.Exit as leave:
            sys.exit(leave.exit_code)


def _words(error: Exception) -> str:
    """The error's own words; of the system's the file and the reason, without its number."""
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[0].lower() + error.strerror[1:]
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    return str(error)
