"""How an agent is started: the one parser, behind `bongsu agent run` and `python -m bongsu.agent`.

argparse and not the command line's library, which takes longer to load than the agent takes to work.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STATE_DIR = Path("/run/bongsu")


@dataclass(frozen=True)
class Arguments:
    """What was said on the command line."""

    bundle: Path
    state_dir: Path = STATE_DIR
    backend: str | None = None
    purge: bool = False
    ready_fd: int | None = None


def parse(argv: Sequence[str], program: str) -> Arguments:
    """The arguments of one start. SystemExit for `--help` (0) and for wrong usage (2)."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Apply a bundle to this machine and keep it so, until SIGTERM."
        " SIGHUP: read the bundle again.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--bundle", type=Path, required=True, help="bundle directory, as `render -o` writes it"
    )
    parser.add_argument(
        "--state", type=Path, default=STATE_DIR, help="state directory (default: %(default)s)"
    )
    parser.add_argument(
        "--backend",
        choices=["kernel", "ebpf", "xdp"],
        help="what carries GRE; without it, by probing",
    )
    parser.add_argument(
        "--purge", action="store_true", help="at the end put the machine back as it was found"
    )
    parser.add_argument(
        "--ready-fd", type=int, metavar="FD", help="gets a line whenever the bundle is applied"
    )
    found = parser.parse_args(argv)
    return Arguments(
        found.bundle.absolute(), found.state, found.backend, found.purge, found.ready_fd
    )
