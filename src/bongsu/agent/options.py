"""How an agent is started: the one parser, behind `bongsu agent run` and `python -m bongsu.agent`.

argparse and not the command line's library, which takes longer to load than the agent takes to work.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE_DIR = Path("/run/bongsu")


@dataclass(frozen=True)
class Arguments:
    """What was said on the command line."""

    bundle: Path
    state_dir: Path = STATE_DIR
    backend: str | None = None
    purge: bool = False
    ready_fd: int | None = None
    relay: str | None = None
    uplink: Path | None = None


class _Help(argparse.HelpFormatter):
    """Headings as the other verbs have them."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: " if prefix is None else prefix)

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading.capitalize() if heading else heading)


def parse(argv: Sequence[str], program: str) -> Arguments:
    """The arguments of one start. SystemExit for `--help` (0) and for wrong usage (2)."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Apply a bundle to this machine and keep it so, until SIGTERM."
        " SIGHUP: read the bundle again.",
        allow_abbrev=False,
        formatter_class=_Help,
        add_help=False,
    )
    parser.add_argument("--help", action="help", help="Show this message and exit.")
    parser.add_argument(
        "--bundle", type=Path, required=True, help="Bundle directory, as `render -o` writes it."
    )
    parser.add_argument(
        "--state", type=Path, default=STATE_DIR, help="State directory (default: %(default)s)."
    )
    parser.add_argument(
        "--backend",
        choices=["kernel", "ebpf", "xdp"],
        help="What carries GRE; without it, by probing.",
    )
    parser.add_argument(
        "--relay",
        choices=["bpf", "xdp", "kernel"],
        help="What carries accelerators; without it, by probing.",
    )
    parser.add_argument(
        "--purge", action="store_true", help="At the end put the machine back as it was found."
    )
    parser.add_argument(
        "--ready-fd", type=int, metavar="FD", help="Gets a line whenever the bundle is applied."
    )
    parser.add_argument(
        "--uplink",
        type=Path,
        metavar="DIR",
        help="Tell the tower what happens, as `bongsu agent enroll` has set it up in there.",
    )
    found = parser.parse_args(argv)
    return Arguments(
        found.bundle.absolute(),
        found.state,
        found.backend,
        found.purge,
        found.ready_fd,
        found.relay,
        None if found.uplink is None else found.uplink.absolute(),
    )
