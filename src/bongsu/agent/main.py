"""The agent as a program: `bongsu agent run`, or `python -m bongsu.agent` with fewer imports."""

import asyncio
import signal
import sys

from bongsu.agent import init
from bongsu.agent.options import Arguments

EXIT_OK, EXIT_REFUSED, EXIT_BUSY = 0, 1, 3


def run_agent(arguments: Arguments) -> int:
    """Run the agent of this node until SIGTERM; the exit status. Needs root.

    0: ended as told. 1: the bundle was refused, or could not be applied or taken away; the reason is
    on standard error. 3: another agent runs. As PID 1 it forks first (see init), so it is to be
    called before any thread is started.
    """
    init.become_child()
    # Until the agent listens to it: the bundle is about to be read anyway.
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    # Late: PID 1 stays small, and so does a command line that never runs an agent.
    from bongsu.agent.agent import Agent, AgentBusyError, Options
    from bongsu.agent.apply import ApplyError
    from bongsu.system.gre import choose_backend

    options = Options(
        arguments.bundle,
        arguments.state_dir,
        arguments.purge,
        arguments.ready_fd,
        sys.stderr,
        arguments.relay,
        arguments.uplink,
    )

    async def main() -> None:
        await Agent(options, lambda: choose_backend(arguments.backend)).run()

    try:
        asyncio.run(main())
    except ApplyError as error:
        sys.stderr.write(f"bongsu agent: {error}\n")
        return EXIT_REFUSED
    except AgentBusyError as error:
        sys.stderr.write(f"bongsu agent: {error}\n")
        return EXIT_BUSY
    return EXIT_OK
