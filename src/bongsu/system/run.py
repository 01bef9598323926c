"""The one door to other programs: every subprocess of bongsu starts here.

A failure carries the command as a shell would take it, so that it can be pasted and tried again.
Processes are ended only by pid and start time through a pidfd (pidfd_open(2)): a pid that was
reused in the meantime is never hit, and nothing is ever killed by name.
"""

import contextlib
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bongsu.system import netns as namespaces

# Enough to show why a daemon refused its configuration, short enough for a terminal.
STDERR_TAIL_LINES = 20
# A killed process that has not gone by then hangs in the kernel; waiting longer will not help.
KILL_WAIT_S = 5.0


@dataclass(frozen=True)
class Completed:
    """A program that has run to its end."""

    argv: tuple[str, ...]
    returncode: int
    """Exit status, or minus the number of the signal that ended it."""
    stdout: str
    stderr: str


class RunError(Exception):
    """A program was missing, failed or took too long. `str()` is meant for the operator."""

    def __init__(
        self, command: str, reason: str, *, completed: Completed | None = None, hint: str = ""
    ) -> None:
        self.command = command
        self.reason = reason
        self.completed = completed
        self.hint = hint
        lines = [f"{reason}: {command}"]
        if completed is not None and completed.stderr.strip():
            lines += completed.stderr.strip().splitlines()[-STDERR_TAIL_LINES:]
        if hint:
            lines.append(f"hint: {hint}")
        super().__init__("\n".join(lines))


def shell_command(
    argv: Sequence[str], *, netns: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The command as one line for a shell. Values of `env` are left out: they may be secrets."""
    words = shlex.join(argv)
    if env:
        words = "env " + " ".join(f'{key}="${key}"' for key in sorted(env)) + " " + words
    if netns is not None:
        words = f"nsenter --net={shlex.quote(str(namespaces.path(netns)))} {words}"
    return words


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    input: str | None = None,
    timeout_s: float = 30,
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    hint: str = "",
) -> Completed:
    """Run a program to its end and return what it said.

    `env` is added to this process's environment; messages are English (LC_ALL=C). The program and
    its children are killed after `timeout_s`, and when the caller is interrupted. Raises RunError
    if it is missing or too slow, and, with `check`, if it ends with anything but 0.
    """
    command = shell_command(argv, netns=netns, env=env)
    popen = _popen(
        argv,
        command,
        hint,
        netns=netns,
        env={"LC_ALL": "C", **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        new_session=True,
        pass_fds=(),
    )
    data = None if input is None else input.encode()
    try:
        out, err = popen.communicate(data, timeout=timeout_s)
    except BaseException as error:
        # Its own session, therefore its own group: grandchildren would keep the pipes open.
        # It has not been waited for, so its pid cannot be another's yet.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.communicate(timeout=KILL_WAIT_S)
        if isinstance(error, subprocess.TimeoutExpired):
            raise RunError(command, f"not done after {timeout_s:g} s", hint=hint) from None
        raise
    done = Completed(
        tuple(argv), popen.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )
    if check and done.returncode != 0:
        raise RunError(command, _reason(done.returncode), completed=done, hint=hint)
    return done


class Process:
    """A program that was started here and goes on. It may outlive its handle."""

    def __init__(self, popen: subprocess.Popen[bytes], command: str) -> None:
        self._popen = popen
        self.command = command
        self.pid = popen.pid
        # Not waited for yet, so it is in /proc even if it has ended.
        self.start_time = start_time(popen.pid) or 0
        """Clock ticks since boot (proc(5), stat field 22); with the pid it names the process."""
        self.pidfd = os.pidfd_open(popen.pid)
        """Readable once the process has ended; closed by wait() and terminate()."""

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; the exit status, negative for a signal. Raises RunError if too slow."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise RunError(self.command, f"still running after {timeout_s:g} s") from None
        self._close()
        return code

    def terminate(self, grace_s: float = 2.0) -> int:
        """SIGTERM, after `grace_s` SIGKILL; the exit status. Does nothing if it has ended."""
        if self._popen.poll() is None:
            _signal_then_kill(self.pidfd, grace_s)
        return self.wait(KILL_WAIT_S)

    def _close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def spawn(
    argv: Sequence[str],
    *,
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    new_session: bool = True,
    pass_fds: Sequence[int] = (),
    hint: str = "",
) -> Process:
    """Start a program and leave it running. Streams not given are /dev/null.

    With `new_session` a Ctrl-C at the terminal does not reach it: its starter ends it in order.
    Raises RunError if it cannot be started.
    """
    command = shell_command(argv, netns=netns, env=env)
    null = subprocess.DEVNULL
    popen = _popen(
        argv,
        command,
        hint,
        netns=netns,
        env=env or {},
        cwd=cwd,
        stdin=null if stdin is None else stdin,
        stdout=null if stdout is None else stdout,
        stderr=null if stderr is None else stderr,
        new_session=new_session,
        pass_fds=pass_fds,
    )
    return Process(popen, command)


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process; None if there is no such process."""
    found = _stat(pid)
    return None if found is None else found[1]


def is_same_process(pid: int, started: int) -> bool:
    """Whether the process that had this pid and start time still runs; a zombie does not."""
    found = _stat(pid)
    return found is not None and found[1] == started and found[0] not in "ZX"


def kill_exact(pid: int, started: int, grace_s: float = 2.0) -> bool:
    """End that very process: SIGTERM, after `grace_s` SIGKILL; without grace SIGKILL alone, so that it
    says no goodbye. False if it does not run any more.

    Raises RunError if it is still there after SIGKILL.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Looked at after the pidfd is open: from here on the pid cannot come to mean another.
        if not is_same_process(pid, started):
            return False
        if not _signal_then_kill(pidfd, grace_s):
            raise RunError(f"kill -9 {pid}", "still there after SIGKILL")
        return True
    finally:
        os.close(pidfd)


def wait_pidfd(pidfd: int, timeout_s: float) -> bool:
    """Wait for the end of a process that need not be our child; False if it still runs then."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _signal_then_kill(pidfd: int, grace_s: float) -> bool:
    steps = ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_WAIT_S))
    for number, wait_s in steps if grace_s > 0 else steps[1:]:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
        if wait_pidfd(pidfd, wait_s):
            return True
    return False


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses of its own.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _popen(
    argv: Sequence[str],
    command: str,
    hint: str,
    *,
    netns: str | None,
    env: Mapping[str, str],
    cwd: Path | None,
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    new_session: bool,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    try:
        # A child is born in the namespace of the thread that forks it: no nsenter, no second exec.
        with namespaces.in_netns(netns):
            return subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **env},
                cwd=cwd,
                start_new_session=new_session,
                pass_fds=tuple(pass_fds),
            )
    except FileNotFoundError as error:
        what = (
            f"no such directory {cwd}" if str(error.filename) == str(cwd) else f"no {argv[0]} here"
        )
        raise RunError(command, what, hint=hint) from error
    except OSError as error:
        raise RunError(command, f"cannot start ({error.strerror})", hint=hint) from error
