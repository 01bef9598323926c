"""BIRD 2 on this machine: let it check a configuration, start it, find it again, reload it.

It runs in the foreground (`-f`) under the agent, as the distribution's own user, on the control
socket that birdc(8) looks for. Scheduling is SCHED_FIFO: with BFD at 10 ms x 3 a busy machine made
15 false alarms a minute at normal priority, and none so.
"""

import contextlib
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bongsu.system.daemons.birdctl import BirdControl, BirdError
from bongsu.system.run import Process, run, spawn

CONFIG = Path("/etc/bird/bird.conf")
SECRETS = Path("/etc/bird/bongsu-secrets.conf")
RUN_DIR = Path("/run/bird")
CONTROL = RUN_DIR / "bird.ctl"
PID_FILE = RUN_DIR / "bird.pid"
USER = "bird"

# The lowest real-time priority is above all normal ones; the kernel's own threads stay above it.
FIFO_PRIORITY = 1
NICE = -20


@dataclass(frozen=True)
class Bird:
    """One BIRD: where its files are."""

    config: Path = CONFIG
    secrets: Path = SECRETS
    control: Path = CONTROL
    pid_file: Path = PID_FILE
    name: str = "bird"
    unit: str = "bird"
    """What starts it where bongsu does not."""

    def check(self, text: str, secrets: str | None, scratch: Path) -> None:
        """Let `bird -p` read a configuration that is not in place yet. Raises RunError.

        The include of the secrets is turned to a throw-away copy, mode 0600 below `scratch`.
        """
        with tempfile.TemporaryDirectory(prefix="check-bird-", dir=scratch) as directory:
            config, copy = Path(directory, "bird.conf"), Path(directory, "secrets.conf")
            for path, content in ((copy, secrets or ""), (config, self._included(text, copy))):
                path.touch(mode=0o600)
                path.write_text(content)
            run(["bird", "-p", "-c", str(config)])

    def start(self, log: Path) -> Process:
        """Start it in the foreground, standard error appended to `log`. Raises RunError, OSError."""
        argv = ["bird", "-f", "-c", str(self.config), "-s", str(self.control)]
        argv += ["-P", str(self.pid_file)]
        self.control.parent.mkdir(mode=0o775, parents=True, exist_ok=True)
        # Left by a BIRD that was killed; a live one has been looked for by the caller.
        self.control.unlink(missing_ok=True)
        with contextlib.suppress(KeyError):
            pwd.getpwnam(USER)
            shutil.chown(self.control.parent, USER, USER)
            argv += ["-u", USER, "-g", USER]
        with log.open("ab") as stderr:
            return spawn(argv, stderr=stderr)

    def remove_run_files(self) -> None:
        """Remove what a stopped BIRD left, and the directory made for it unless others use it."""
        self.control.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.control.parent.rmdir()

    def connect(self, timeout_s: float = 5.0) -> BirdControl:
        """A connection to its control socket. Raises OSError, BirdError."""
        return BirdControl(self.control, timeout_s)

    def answers(self) -> bool:
        """Whether a BIRD is up behind the control socket."""
        try:
            with self.connect(1.0) as control:
                return control.alive()
        except (OSError, BirdError):
            return False

    def prioritise(self, pid: int) -> str:
        """Give every thread real-time priority, or the next best thing; returns which.

        BFD has a thread of its own, and the kernel's call reaches one thread only.
        """
        got = [self._prioritise_thread(int(task.name)) for task in _tasks(pid)]
        # What all of them got: the least of it.
        return max(got, key=_RANKS.index, default=_RANKS[-1])

    def _prioritise_thread(self, thread: int) -> str:
        try:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
        except ProcessLookupError:
            return _RANKS[0]
        except OSError:
            try:
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
            except OSError:
                return _RANKS[2]
            return _RANKS[1]
        return _RANKS[0]

    def _included(self, text: str, copy: Path) -> str:
        return text.replace(f'include "{self.secrets}"', f'include "{copy}"')


_RANKS = (f"SCHED_FIFO {FIFO_PRIORITY}", f"nice {NICE}", "normal")


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
