"""A step of the demo: its title, and the command that would do the same by hand."""

from bongsu.cli.output import out


def step(title: str, command: str) -> None:
    """Print a rule with both."""
    out.print()
    out.rule(f"[bold]{title}[/]   [dim]$ {command}[/]", align="left")
