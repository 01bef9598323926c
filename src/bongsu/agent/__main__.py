"""`python -m bongsu.agent --bundle DIR`: the agent without the command line's libraries."""

import argparse
import sys
from pathlib import Path

from bongsu.agent.main import run_agent


def main() -> int:
    """Parse the arguments and run; the exit status."""
    parser = argparse.ArgumentParser(prog="bongsu.agent", description="The agent of one node.")
    parser.add_argument("--bundle", type=Path, required=True, help="directory of the bundle")
    parser.add_argument("--state-dir", type=Path, default=Path("/run/bongsu"))
    parser.add_argument("--backend", choices=["kernel", "ebpf"], help="without it, by probing")
    parser.add_argument("--purge", action="store_true", help="take everything away at the end")
    parser.add_argument("--ready-fd", type=int, help="gets a line when the node is ready")
    arguments = parser.parse_args()
    return run_agent(
        arguments.bundle,
        arguments.state_dir,
        backend=arguments.backend,
        purge=arguments.purge,
        ready_fd=arguments.ready_fd,
    )


if __name__ == "__main__":
    sys.exit(main())
