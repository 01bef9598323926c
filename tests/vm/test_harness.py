"""The virtual machine tells the truth about what ran in it, and is gone afterwards."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.harness import VmError, kernel, modules, resume, state

pytestmark = pytest.mark.vm


def running(parent: int) -> list[int]:
    """Machines that this process has started and not ended."""
    argv = ["pgrep", "-P", str(parent), "-f", "--", "qemu-system.* -kernel "]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def wait_until(what: str, holds: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_job() -> None:
    result = resume(
        """
        cat folder/text
        echo "kernel $(uname -r)"
        echo "clock $(date +%s)"
        echo oops >&2
        touch $PROJECT/written-by-a-guest /run/written && echo written
        $PYTHON -c 'import bongsu; print("python", bongsu.__file__)'
        for name in ip_gre ip6_gre vrf sch_netem esp4 ip_vti nf_tables cls_bpf xfrm_interface; do
            test -d /sys/module/$name || echo "no $name"
        done
        test -e /sys/kernel/btf/vmlinux && mkdir /sys/fs/bpf/x && echo bpf
        printf 'last without newline'
        exit 130
        """,
        {"folder/text": "from the host\n"},
    )
    lines = result.output.splitlines()
    root = Path(__file__).parents[2]
    assert result.rc == 130
    assert lines[0] == "from the host"
    assert lines[1] == f"kernel {kernel.find().version}"
    assert abs(int(lines[2].removeprefix("clock ")) - time.time()) < 300
    assert lines[3:] == [
        "oops",
        "written",
        f"python {root}/src/bongsu/__init__.py",
        "bpf",
        "last without newline",
    ]
    assert not (root / "written-by-a-guest").exists()
    assert running(os.getpid()) == []


def test_a_guest_without_a_result_is_an_error() -> None:
    with pytest.raises(VmError, match="without a result"):
        resume("echo c > /proc/sysrq-trigger; sleep 60")
    with pytest.raises(VmError, match="not done after 1 s"):
        resume("sleep 60", timeout_s=1)
    assert running(os.getpid()) == []


def test_a_spoiled_state_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    good = state.machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = state.Machine(state.cache() / good.folder.name)
    shutil.copytree(good.folder, machine.folder)
    machine.saved.write_bytes(b"not a state")
    result = resume("echo booted")
    assert (result.rc, result.output, result.resumed) == (0, "booted\n", False)
    assert any("did not resume" in str(warning.message) for warning in recwarn)
    assert not machine.saved.exists()
    assert state.machine().saved.stat().st_size > 1 << 20


def test_the_machine_dies_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.machine()  # made before, so that the child's only machine is the job's
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it cannot clean up after itself
    child = multiprocessing.get_context("fork").Process(target=resume, args=("sleep 600",))
    child.start()
    assert child.pid is not None
    owner = child.pid
    wait_until("the machine runs", lambda: running(owner))
    (machine,) = running(owner)
    os.kill(owner, signal.SIGKILL)
    child.join()
    try:
        wait_until("the machine is gone", lambda: not Path(f"/proc/{machine}").exists(), 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(machine, signal.SIGKILL)


def test_modules_bring_what_they_need() -> None:
    found = modules.closure(kernel.find().modules, ["ip_gre"])
    assert {modules.name_of(file) for file in found} >= {"ip_gre", "gre", "ip_tunnel"}
    with pytest.raises(VmError, match="no module none_such"):
        modules.closure(kernel.find().modules, ["none_such"])
