"""Where a lab keeps what it is, and whose it is: one directory a lab under /run.

The record is written before anything is made, so that whatever a killed process leaves behind can
be found: namespaces by their name, processes by the namespaces they are in, the link emulator by
its own record. A lab whose raiser died before it was up, or that was only meant for a test, is a
leftover, and the next start of any lab removes it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bongsu.system.run import is_same_process, start_time

LABS_DIR = Path("/run/bongsu/lab")
NETNS_PREFIX = "bs."
"""Names of labs and members hold no dot, so that `bs.a.` is never the beginning of lab a-b's."""
LOCK_WAIT_S = 180.0
"""Longer than any lab takes to raise or to remove: a held lock means another command works on it."""


class LabError(Exception):
    """The lab cannot do what was asked. `str()` is meant for the operator; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class LabRecord:
    """What is known of a lab across processes."""

    name: str
    source: str
    """The network file it was raised from, its absolute path; `-` for standard input."""
    phase: str
    """`raising`, `up` or `removing`; `foreign` if another version of bongsu wrote the record."""
    keep: bool
    """It outlives the process that raised it (`lab up`); otherwise it is that process's (`lab test`)."""
    owner_pid: int
    owner_start: int
    raised_s: float | None = None
    """Seconds it took to raise."""
    faults: dict[str, float] = field(default_factory=dict)
    """Faults in effect and when they took effect (CLOCK_MONOTONIC, seconds)."""

    @property
    def owner_alive(self) -> bool:
        """Whether the process that raised it still runs."""
        return is_same_process(self.owner_pid, self.owner_start)

    @property
    def leftover(self) -> bool:
        """Nobody wants it any more. Of another version's lab that is not for us to say."""
        return (
            self.phase != "foreign"
            and not self.owner_alive
            and not (self.keep and self.phase == "up")
        )


@dataclass(frozen=True)
class LabPaths:
    """The files of one lab."""

    name: str

    @property
    def root(self) -> Path:
        """The lab's directory."""
        return LABS_DIR / self.name

    @property
    def record(self) -> Path:
        """The lab's record, JSON."""
        return self.root / "lab.json"

    @property
    def network(self) -> Path:
        """A copy of the network file it was raised from."""
        return self.root / "network.yaml"

    @property
    def emulator(self) -> Path:
        """State directory of the link emulator."""
        return self.root / "emulator"

    @property
    def closet(self) -> str:
        """The namespace in which links that the kernel carries have their middle."""
        return self.netns("_links")

    def router(self, name: str, suffix: str) -> Path:
        """A file of an AS router: `conf`, `ctl` (control socket) or `log`."""
        return self.root / "routers" / f"{name}.{suffix}"

    def node(self, name: str) -> Path:
        """A node's directory: its private /run, the upper layer of its /etc, its log."""
        return self.root / "nodes" / name

    def agent_socket(self, name: str) -> Path:
        """The control socket of a node's agent, seen from outside the node."""
        return self.node(name) / "run" / "bongsu" / "agent.sock"

    def netns(self, member: str) -> str:
        """The name of a member's network namespace."""
        return f"{NETNS_PREFIX}{self.name}.{member}"


def new_record(name: str, source: str, *, keep: bool) -> LabRecord:
    """A record of a lab that this process is about to raise."""
    pid = os.getpid()
    return LabRecord(name, source, "raising", keep, pid, start_time(pid) or 0)


def write_record(record: LabRecord) -> None:
    """Replace the record in one step."""
    path = LabPaths(record.name).record
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(record), indent=1))
    temporary.replace(path)


def read_record(name: str) -> LabRecord | None:
    """The lab's record; None if there is no such lab. A torn record counts as a leftover's."""
    path = LabPaths(name).record
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return LabRecord(name, "", "raising", False, 0, 0) if path.parent.is_dir() else None
    except ValueError:
        return LabRecord(name, "", "raising", False, 0, 0)
    try:
        return LabRecord(**values)
    except TypeError:
        return LabRecord(name, "", "foreign", True, 0, 0)


def update_record(name: str, **changes: object) -> LabRecord:
    """Change fields of the record. LabError if there is no such lab."""
    record = read_record(name)
    if record is None:
        raise LabError(f"there is no lab {name}")
    record = replace(record, **changes)  # type: ignore[arg-type]
    write_record(record)
    return record


def lab_names() -> list[str]:
    """Labs that have a directory, sorted."""
    try:
        return sorted(entry.name for entry in LABS_DIR.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []


def forget(name: str) -> None:
    """Remove the lab's directory. Nothing of the lab may be running any more."""
    shutil.rmtree(LabPaths(name).root, ignore_errors=True)
    with contextlib.suppress(OSError):
        LABS_DIR.rmdir()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other commands off this lab. LabError if one holds it for too long."""
    LABS_DIR.mkdir(parents=True, exist_ok=True)
    lock = LABS_DIR.parent / f"lab-{name}.lock"
    deadline = time.monotonic() + LOCK_WAIT_S
    while (fd := _try_lock(lock)) is None:
        if time.monotonic() > deadline:
            raise LabError(
                f"another command has been working on lab {name} for {LOCK_WAIT_S:g} s",
                hint="wait for it, or end it",
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(fd)


def _try_lock(lock: Path) -> int | None:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder removes the file: the lock counts only on the file that is there now.
        if lock.stat().st_ino == os.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None
