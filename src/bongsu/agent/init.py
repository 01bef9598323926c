"""PID 1's two duties, when the agent is the first process of a PID namespace (or a container).

The kernel gives orphans to PID 1, and zombies stay until it waits for them; signals that PID 1 does
not handle are dropped. So the first process only waits and passes signals on, and the agent is its
child: no race between this reaper and the agent's own children.
"""

import contextlib
import os
import signal
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def become_child() -> None:
    """Fork if this is PID 1; only the child returns. To be called before any thread is started."""
    if os.getpid() != 1:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        return
    sys.exit(_reap(child))


def _reap(child: int) -> int:
    """Wait for everything until `child` ends; its exit status. The kernel then ends the rest."""

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
