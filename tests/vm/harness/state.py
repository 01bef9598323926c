"""Keeps booted machines: one folder for each kernel, initramfs and QEMU, made once.

The folder is written elsewhere and renamed into place, and a lock lets one maker work while others
wait for it, so that whatever is found under its name is whole. Only the newest few are kept.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.harness import initramfs, kernel, qemu
from tests.vm.harness.errors import VmError

BOOT_TIMEOUT_S = 120.0
SAVE_TIMEOUT_S = 60.0
KEPT = 3
"""Folders of some 150 MB each: this kernel, and those of branches that are being compared."""


@dataclass(frozen=True)
class Machine:
    """Files that a guest is started from."""

    folder: Path

    @property
    def vmlinux(self) -> Path:
        return self.folder / "vmlinux"

    @property
    def initramfs(self) -> Path:
        return self.folder / "initramfs"

    @property
    def saved(self) -> Path:
        """The booted state; it is missing when it could not be saved or resumed."""
        return self.folder / "state"

    def discard(self) -> None:
        """Forgets a state that could not be resumed; the next call makes it again."""
        self.saved.unlink(missing_ok=True)


def cache() -> Path:
    """Where states are kept: $XDG_CACHE_HOME/bongsu/vm, by the XDG base directory rules."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bongsu" / "vm"


def machine() -> Machine:
    """The machine for this kernel and QEMU, booted and saved if that has not been done yet."""
    source = kernel.find()
    archive = initramfs.build(source)
    digest = hashlib.sha256()
    for part in (
        source.image.read_bytes(),
        archive,
        qemu.version().encode(),
        "\0".join((*qemu.MACHINE, qemu.KERNEL_ARGUMENTS)).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    found = Machine(cache() / digest.hexdigest()[:16])
    if found.saved.exists():
        os.utime(found.folder)
        return found
    with _lock(found.folder.parent):
        if not found.saved.exists():
            _make(found, source, archive)
    return found


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(target: Machine, source: kernel.Kernel, archive: bytes) -> None:
    parent = target.folder.parent
    for stale in parent.glob("making-*"):  # of a maker that was killed: we hold the lock
        shutil.rmtree(stale)
    making = Machine(Path(tempfile.mkdtemp(prefix="making-", dir=parent)))
    try:
        making.vmlinux.write_bytes(kernel.vmlinux(source.image))
        making.initramfs.write_bytes(archive)
        _boot_and_save(making)
        shutil.rmtree(target.folder, ignore_errors=True)
        making.folder.rename(target.folder)
    except BaseException:
        shutil.rmtree(making.folder, ignore_errors=True)
        raise
    states = [path for path in parent.iterdir() if path.is_dir()]
    for old in sorted(states, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _boot_and_save(making: Machine) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, making.saved.open("wb") as state:
        control = ("-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "qmp,mode=control")
        fds = (theirs.fileno(),)
        with qemu.Qemu(
            making.vmlinux, making.initramfs, making.folder, extra=control, pass_fds=fds
        ) as guest:
            theirs.close()
            guest.wait_for(initramfs.READY, BOOT_TIMEOUT_S)
            monitor = _Monitor(ours)
            monitor.ask("migrate-set-parameters", {"max-bandwidth": 10**10})
            monitor.ask("getfd", {"fdname": "state"}, fd=state.fileno())
            monitor.ask("migrate", {"uri": "fd:state"})
            deadline = time.monotonic() + SAVE_TIMEOUT_S
            while (status := monitor.ask("query-migrate").get("status")) != "completed":
                if status in ("failed", "cancelled") or time.monotonic() > deadline:
                    raise VmError(f"the booted machine was not saved: {status}")
                time.sleep(0.05)


class _Monitor:
    """QEMU's machine protocol (QMP), as much of it as saving a state takes."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SAVE_TIMEOUT_S)
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._lines.readline()  # the greeting
        self.ask("qmp_capabilities")

    def ask(
        self, command: str, arguments: dict[str, Any] | None = None, fd: int | None = None
    ) -> dict[str, Any]:
        request = json.dumps({"execute": command, "arguments": arguments or {}}).encode()
        socket.send_fds(self._connection, [request + b"\n"], [] if fd is None else [fd])
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise VmError(f"QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return dict(answer["return"])
        raise VmError(f"QEMU ended at {command}")
