"""FRR's daemons on this machine: start each in the foreground, let vtysh load them, change them.

zebra comes first: who starts before its socket is there waits for seconds until it tries again. The
files are vtysh's: one for all (`service integrated-vtysh-config`) or one for each daemon. A change is
given to the running daemons as the lines that differ (see frr_reload), never by a restart.
"""

import contextlib
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bongsu.system.daemons.frr_reload import changes
from bongsu.system.daemons.frr_vty import VtyError, show
from bongsu.system.run import Process, run, spawn

DIRECTORY = Path("/etc/frr")
INTEGRATED = DIRECTORY / "frr.conf"
DAEMONS, VTYSH = DIRECTORY / "daemons", DIRECTORY / "vtysh.conf"
PROGRAMS = Path("/usr/lib/frr")
RUN_DIR = Path("/run/frr")
ZEBRA_API = RUN_DIR / "zserv.api"
USER = "frr"
NAMES = ("zebra", "staticd", "bfdd", "bgpd")
"""In the order of their starts; stopped the other way round."""
HINT = "apt install frr"
ZEBRA_WITHIN_S = 10.0
NETLINK_BUFFER = "90000000"
"""Bytes, as Debian's own start-up has it."""
LOADED_WITHIN_S = 60.0


@dataclass(frozen=True)
class FrrDaemon:
    """One daemon of FRR."""

    name: str
    integrated: bool = True
    """Whether /etc/frr/frr.conf holds its lines."""
    unit: str = "frr"
    """What starts it where bongsu does not."""

    @property
    def vty(self) -> Path:
        """Where it answers."""
        return RUN_DIR / f"{self.name}.vty"

    def start(self, log: Path) -> Process:
        """Start it in the foreground, its log appended to `log`. Raises RunError, OSError."""
        _run_directory()
        self.vty.unlink(missing_ok=True)
        if self.name == "zebra":
            ZEBRA_API.unlink(missing_ok=True)
        else:
            _wait_for(ZEBRA_API)
        argv = [str(PROGRAMS / self.name), "-i", str(RUN_DIR / f"{self.name}.pid")]
        # No terminal over TCP: nobody asks there, and two namespaces of a lab need no ports.
        argv += ["-A", "127.0.0.1", "-P", "0", "--log", "stdout"]
        if self.name == "zebra":
            argv += ["-s", NETLINK_BUFFER]
        with log.open("ab") as stream:
            return spawn(argv, stdout=stream, stderr=stream, hint=HINT)

    def answers(self) -> bool:
        """Whether it is up. Never raises."""
        try:
            show(self.vty, "show version", 1.0)
        except (OSError, VtyError):
            return False
        return True

    def prioritise(self, pid: int) -> str:  # noqa: ARG002  what every daemon is asked
        """BFD of bfdd is for slow timers here, and the rest has seconds."""
        return "normal"

    def load(self) -> None:
        """Give it its lines of the integrated file; it has read a file of its own by itself.

        Raises RunError.
        """
        if self.integrated:
            run(["vtysh", "-b", "-d", self.name], timeout_s=LOADED_WITHIN_S)

    def remove_run_files(self) -> None:
        """Remove what a stopped one left."""
        for path in (self.vty, RUN_DIR / f"{self.name}.pid"):
            path.unlink(missing_ok=True)
        if self.name == "zebra":
            ZEBRA_API.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                RUN_DIR.rmdir()


def check(texts: Mapping[Path, str], scratch: Path) -> None:
    """Let vtysh read files that are not in place yet: their syntax, no more. Raises RunError."""
    for path, text in texts.items():
        if path in (DAEMONS, VTYSH) or path.parent != DIRECTORY:
            continue
        copy = scratch / path.name
        copy.touch(mode=0o600)
        copy.write_text(text)
        run(["vtysh", "-C", "-f", str(copy)], hint=HINT)


def reload(old: str, new: str, scratch: Path) -> int:
    """Make the running daemons differ as the texts do; how many commands it took. Raises RunError."""
    commands = changes(old, new)
    if not commands:
        return 0
    # A file, and a private one: arguments are seen by everybody, and one line may be a password.
    fd, name = tempfile.mkstemp(prefix="frr-change-", dir=scratch)
    try:
        with os.fdopen(fd, "w") as file:
            file.write("\n".join([*commands, ""]))
        run(["vtysh", "-f", name], timeout_s=LOADED_WITHIN_S)
    finally:
        Path(name).unlink()
    return len(commands)


def _run_directory() -> None:
    RUN_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    with contextlib.suppress(KeyError):
        pwd.getpwnam(USER)
        shutil.chown(RUN_DIR, USER, USER)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + ZEBRA_WITHIN_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
