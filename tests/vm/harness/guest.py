"""Runs one script as root in the guest and brings back its status and what it wrote.

The guest sees this machine's files under their own names, through an overlay that forgets what it
writes: the project and its virtual environment are there, /run and the kernel are its own.
"""

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.vm.harness import initramfs, qemu, state
from tests.vm.harness.errors import NotStartedError, VmError

ROOT = Path(__file__).resolve().parents[3]

BEGIN = b"\x02begin\n"
END = b"\x03end "
RESUME_TIMEOUT_S = 45.0
# isa-debug-exit turns v into the status 2v + 1, of which 8 bits are left. The script's own status
# is told on the serial port; this one says that it got so far, and is never QEMU's 0 or 1.
DONE = 42

START = r"""
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb
ip link set lo up
mkdir -p /dev/pts /dev/shm /run/lock /run/netns
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
cd /job
. /job/.environment
printf '\002begin\n' > /dev/ttyS1
bash /job/.script > /dev/ttyS1 2>&1 < /dev/null
printf '\003end %d\n' $? > /dev/ttyS1
printf '\052' | dd of=/dev/port bs=1 seek=244 2> /dev/null
"""


@dataclass(frozen=True)
class Result:
    """What a job gave."""

    rc: int
    """Exit status of the script, 0 to 255."""
    output: str
    """Standard output and error of the script, in the order written."""
    resumed: bool
    """From the saved state; else the guest was booted for this job."""
    seconds: float
    """From the call to the end of the guest, on our clock."""


def resume(
    script: str, files: Mapping[str, str | bytes] | None = None, timeout_s: float = 120.0
) -> Result:
    """Runs a bash script in Debian's kernel and returns its status and output.

    `files` are put beside it: path relative to /job, which is the working directory, to content.
    The script has $PYTHON (this interpreter) and $PROJECT (this repository). VmError if the guest
    cannot be started, or is not done after `timeout_s` seconds from the start of the script.
    """
    started = time.monotonic()
    machine = state.machine()
    with tempfile.TemporaryDirectory(prefix="bongsu-vm-") as folder:
        job = Path(folder)
        _prepare(job, script, files or {})
        try:
            rc, output = _run(machine, job, timeout_s, resumed=True)
            return Result(rc, output, True, time.monotonic() - started)
        except NotStartedError as error:
            warnings.warn(f"the saved machine did not resume: {error}", stacklevel=2)
            machine.discard()
        rc, output = _run(machine, job, timeout_s, resumed=False)
        return Result(rc, output, False, time.monotonic() - started)


def _prepare(job: Path, script: str, files: Mapping[str, str | bytes]) -> None:
    environment = (
        f"export PYTHON='{sys.executable}' PROJECT='{ROOT}' JOB=/job "
        f"PYTHONPATH='{ROOT / 'src'}:{ROOT}' PYTHONDONTWRITEBYTECODE=1\n"
    )
    ours = {".start": START, ".environment": environment, ".script": script}
    for name, content in {**files, **ours}.items():
        path = job / name
        if not path.resolve().is_relative_to(job.resolve()):
            raise ValueError(f"{name} is outside the job's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _run(machine: state.Machine, job: Path, timeout_s: float, *, resumed: bool) -> tuple[int, str]:
    if not resumed:
        with qemu.Qemu(machine.vmlinux, machine.initramfs, job) as guest:
            guest.wait_for(initramfs.READY, state.BOOT_TIMEOUT_S)
            return _job(guest, timeout_s)
    try:
        saved = machine.saved.open("rb")
    except FileNotFoundError as error:  # another job has just given it up
        raise NotStartedError(str(error)) from None
    with saved:
        incoming = ("-incoming", f"fd:{saved.fileno()}")
        with qemu.Qemu(
            machine.vmlinux, machine.initramfs, job, extra=incoming, pass_fds=(saved.fileno(),)
        ) as guest:
            return _job(guest, timeout_s)


def _job(guest: qemu.Qemu, timeout_s: float) -> tuple[int, str]:
    # The port takes one byte before the saved state is loaded over it: a blank is no loss.
    guest.send(b"  %d %s\n" % (time.time(), os.urandom(32).hex().encode()))
    guest.wait_for(BEGIN, RESUME_TIMEOUT_S)
    status = guest.wait(timeout_s)
    output, end, rc = guest.output.partition(BEGIN)[2].rpartition(END)
    if status != 2 * DONE + 1 or not end:
        raise VmError(
            f"the guest ended without a result (QEMU's status {status})",
            output=guest.text,
            console=guest.console,
        )
    return int(rc), output.decode(errors="replace")
