"""`bongsu show`: what the nodes see now. A command for each subject, in a module of its own."""

import typer

from bongsu.cli.show import accelerator, bgp, keepalive, paths, vpn

app = typer.Typer(help="Show what the nodes see now.", no_args_is_help=True)
app.command()(keepalive.keepalive)
app.command()(vpn.vpn)
app.command()(bgp.bgp)
app.command()(accelerator.accelerator)
app.command()(paths.paths)
