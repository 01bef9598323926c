"""The program's verbs, each loaded when it is used: most of a second goes into what others need.

The one-line helps stand here, so that `bongsu --help` loads none of them.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class Verb:
    """Where a verb is: a function, or a group of verbs, of a module of this package."""

    module: str
    name: str
    help: str


VERBS = {
    "check": Verb("files", "check", "Judge a network file: every error and finding."),
    "render": Verb("files", "render", "Write every node's native configuration."),
    "import": Verb("imports", "import_", "Turn what a cloud lets one download into YAML."),
    "plan": Verb("plan", "plan", "Print the nodes' plans, or what a change will do."),
    "explain": Verb("files", "explain", "Print what a check's code means, and how to mend it."),
    "schema": Verb("files", "schema", "Print the JSON Schema of the network file."),
    "probe": Verb(
        "probe", "probe", "Show loss, RTT, AS path and the PoP entered, from everywhere."
    ),
    "mtr": Verb("path.mtr", "mtr", "Show the path to somewhere, hop by hop, and keep it."),
    "compare": Verb("path.compare", "compare_runs", "Set two measurements side by side."),
    "doctor": Verb("doctor", "doctor", "Try what this machine can do."),
    "demo": Verb(
        "demo.demo", "demo", "Check, raise, break, look, take down: anycast, vpn or accelerator."
    ),
    "lab": Verb("lab", "app", "Raise a network on this machine, and try it."),
    "agent": Verb("agent", "app", "Run a node's agent, or ask it."),
    "tower": Verb("tower", "app", "Make and run the control tower, let nodes in."),
    "show": Verb("show", "app", "Show what the nodes see now."),
    "debug": Verb("debug", "app", "Print what happens, as it happens."),
}


class Verbs(TyperGroup):
    """A group that has VERBS for commands. Its types are the library's own, which it hides."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # for the names alone: what was meant by one that is none
        self.commands: dict[str, Any] = dict.fromkeys(VERBS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """The command of that name, its module loaded; None if there is none."""
        verb = VERBS.get(cmd_name)
        return None if verb is None else load(cmd_name, verb)

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """The list at the end of the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


def load(name: str, verb: Verb) -> Any:
    """The verb as a command of the library's, made as if it had been there from the start."""
    found = getattr(import_module(f"bongsu.cli.{verb.module}"), verb.name)
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    around.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    group: Any = get_command(around)
    return group.commands[name]
