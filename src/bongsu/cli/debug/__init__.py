"""`bongsu debug`: what happens, line by line, in words that operators know."""

import typer

from bongsu.cli.debug import keepalive

app = typer.Typer(help="Print what happens, as it happens.", no_args_is_help=True)
app.command()(keepalive.keepalive)


@app.callback()
def _group() -> None:
    """Keeps it a group while it has one command."""
