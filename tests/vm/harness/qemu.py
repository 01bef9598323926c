"""One QEMU process: its command line, its two serial ports, and its certain end.

The process dies with the thread that started it (PR_SET_PDEATHSIG, through setpriv), also when
that one is killed outright; leaving the `with` block ends it in every other case.
"""

import contextlib
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.vm.harness.errors import NotStartedError, VmError

QEMU = "qemu-system-x86_64"
MEMORY = "1536M"
EXIT_PORT = 0xF4

# Without KVM every instruction counts: no mitigations, no self-tests, no watchdogs. The address
# space is not randomised, since a saved state has only one layout anyway.
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t nokaslr mitigations=off tsc=reliable "
    "no_timer_check nmi_watchdog=0 cryptomgr.notests audit=0 apparmor=0 selinux=0 "
    "random.trust_cpu=on rcupdate.rcu_expedited=1"
)
# The state depends on all of this, and on nothing else of the command line.
MACHINE = (
    *("-M", "pc,hpet=off", "-cpu", "max", "-smp", "2", "-m", MEMORY),
    *("-accel", "tcg,thread=multi,tb-size=512"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
    *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4"),
)

OUTPUT_LIMIT = 4 << 20
"""Bytes on the second serial port; a script that writes more has run away."""


def version() -> str:
    """First line of `qemu --version`, part of the state's key."""
    try:
        done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True)
    except OSError as error:
        raise VmError(f"{QEMU} is not here: apt-get install qemu-system-x86") from error
    return done.stdout.splitlines()[0]


class Qemu:
    """A running machine. The guest's ttyS0 goes to a file, its ttyS1 is our standard streams."""

    def __init__(
        self,
        vmlinux: Path,
        initramfs: Path,
        job: Path,
        *,
        extra: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Shares the folder `job` writable as "job" and `/` read-only as "root"."""
        self.output = b""
        self._console = tempfile.NamedTemporaryFile(prefix="bongsu-console-")  # noqa: SIM115
        share = "security_model=none,multidevs=remap"
        argv = [
            *("setpriv", "--pdeathsig", "KILL", "--", QEMU, *MACHINE),
            *("-kernel", str(vmlinux), "-initrd", str(initramfs), "-append", KERNEL_ARGUMENTS),
            *("-serial", f"file:{self._console.name}", "-serial", "stdio"),
            *("-fsdev", f"local,id=root,path=/,readonly=on,{share}"),
            *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
            *("-fsdev", f"local,id=job,path={job},{share}"),
            *("-device", "virtio-9p-pci,fsdev=job,mount_tag=job"),
            *extra,
        ]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C is for us; we end the machine ourselves
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._console.close()

    @property
    def console(self) -> str:
        """What the kernel has said."""
        return Path(self._console.name).read_text(errors="replace")

    @property
    def text(self) -> str:
        """What the second serial port has said."""
        return self.output.decode(errors="replace")

    def send(self, line: bytes) -> None:
        """Writes to the second serial port."""
        assert self._process.stdin is not None
        # If it has ended, whoever waits for the answer says so.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def wait_for(self, mark: bytes, timeout_s: float) -> None:
        """Reads until the mark has come; NotStartedError if it does not."""
        deadline = time.monotonic() + timeout_s
        while mark not in self.output:
            if not self._read(deadline):
                ended = self._process.poll()
                why = "no sign of life" if ended is None else f"QEMU ended with {ended}"
                raise NotStartedError(why, output=self.text, console=self.console)

    def wait(self, timeout_s: float) -> int:
        """Reads to the end and returns QEMU's exit status."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise VmError(
                f"not done after {timeout_s:g} s", output=self.text, console=self.console
            ) from None

    def _read(self, deadline: float) -> bool:
        """One read; false at the end of the stream or when time is up."""
        assert self._process.stdout is not None
        stream = self._process.stdout.fileno()
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(stream, 65536) if ready else b""
        self.output += data
        if len(self.output) > OUTPUT_LIMIT:
            raise VmError("the script wrote too much", output=self.text, console=self.console)
        return bool(data)
