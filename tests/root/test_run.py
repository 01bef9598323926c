"""The door to other programs: what it says when they fail, and that it hits only what it started."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from bongsu.system import netns, run
from tests.root.link_wire import eventually, namespaces

pytestmark = pytest.mark.root


def test_output_and_status() -> None:
    done = run.run(["sh", "-c", "cat; echo err >&2; exit 3"], input="in", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("in", "err\n", 3)


def test_messages_are_english_and_the_environment_is_added_to() -> None:
    done = run.run(["sh", "-c", 'echo $LC_ALL $MORE; test -n "$PATH"'], env={"MORE": "x"})
    assert done.stdout == "C x\n"


def test_a_failure_can_be_pasted_and_does_not_tell_secrets() -> None:
    with namespaces("run") as (name,), pytest.raises(run.RunError) as caught:
        run.run(
            ["sh", "-c", "echo 'it  broke' >&2; exit 7"],
            netns=name,
            env={"SECRET": "hunter2"},
            hint="mend it",
        )
    first, *rest = str(caught.value).splitlines()
    reason, _, command = first.partition(": ")
    assert reason == "exit 7"
    assert rest == ["it  broke", "hint: mend it"]
    assert "hunter2" not in str(caught.value)
    assert shlex.split(command) == [
        "nsenter",
        f"--net=/run/netns/{name}",
        "env",
        "SECRET=$SECRET",
        "sh",
        "-c",
        "echo 'it  broke' >&2; exit 7",
    ]
    assert caught.value.completed is not None
    assert caught.value.completed.returncode == 7


def test_only_the_end_of_a_long_complaint_is_shown() -> None:
    with pytest.raises(run.RunError) as caught:
        run.run(["sh", "-c", "seq 1000 >&2; exit 1"])
    assert str(caught.value).splitlines()[1:] == [str(n) for n in range(981, 1001)]


def test_missing_program_and_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(
        run.RunError, match="no bongsu-nonesuch here: bongsu-nonesuch -x\nhint: get"
    ):
        run.run(["bongsu-nonesuch", "-x"], hint="get it")
    with pytest.raises(run.RunError, match="no such directory"):
        run.spawn(["true"], cwd=tmp_path / "none")
    with pytest.raises(run.RunError, match="cannot start"):
        run.run([str(tmp_path)])


def test_too_slow_takes_its_children_along(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(run.RunError, match=r"not done after 0\.3 s"):
        run.run(["sh", "-c", f"sleep 60 & echo $! $$ > {pids}; wait"], timeout_s=0.3)
    for pid in pids.read_text().split():
        assert eventually(lambda pid=pid: not _runs(int(pid)))  # type: ignore[misc]


def test_signal_is_named() -> None:
    with pytest.raises(run.RunError, match="ended by SIGTERM"):
        run.run(["sh", "-c", "kill $$"])


def test_a_child_is_born_in_the_namespace() -> None:
    with namespaces("run") as (name,):
        inode = netns.path(name).stat().st_ino
        done = run.run(["readlink", "/proc/self/ns/net"], netns=name)
        assert done.stdout == f"net:[{inode}]\n"
        process = run.spawn(["sleep", "60"], netns=name)
        assert Path(f"/proc/{process.pid}/ns/net").stat().st_ino == inode
        process.terminate()
    with pytest.raises(netns.NetnsError):
        run.run(["true"], netns="bst-links-nowhere")


def test_a_spawned_process_ends_as_asked() -> None:
    process = run.spawn(["sleep", "60"])
    assert process.returncode is None
    assert run.is_same_process(process.pid, process.start_time)
    assert process.terminate() == -15
    assert process.terminate() == -15
    assert process.wait() == -15
    assert not run.is_same_process(process.pid, process.start_time)
    stubborn = run.spawn(["sh", "-c", "trap '' TERM; echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert stubborn._popen.stdout is not None
    stubborn._popen.stdout.read(1)
    assert stubborn.terminate(0.1) == -9
    stubborn._popen.stdout.close()


def test_waiting_has_an_end() -> None:
    process = run.spawn(["sleep", "60"])
    try:
        with pytest.raises(run.RunError, match="still running after 0"):
            process.wait(0.05)
    finally:
        process.terminate()


def test_descriptors_are_passed_on_request_only() -> None:
    reader, writer = os.pipe()
    tell = ["sh", "-c", f"echo heard >/proc/self/fd/{writer}"]
    assert run.spawn(tell).wait(10) != 0
    assert run.spawn(tell, pass_fds=[writer]).wait(10) == 0
    os.close(writer)
    assert os.read(reader, 100) == b"heard\n"
    os.close(reader)


def test_kill_exact_hits_only_that_very_process() -> None:
    process = run.spawn(["sleep", "60"])
    assert not run.kill_exact(process.pid, process.start_time - 1)
    assert process.returncode is None
    assert run.kill_exact(process.pid, process.start_time)
    # It has ended but was not waited for: a zombie is not running any more.
    assert not run.is_same_process(process.pid, process.start_time)
    assert not run.kill_exact(process.pid, process.start_time)
    assert process.wait() == -15
    assert not run.kill_exact(process.pid, process.start_time)


def test_kill_exact_does_not_give_up_at_sigterm() -> None:
    process = run.spawn(["sh", "-c", "trap '' TERM; echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert process._popen.stdout is not None
    process._popen.stdout.read(1)
    assert run.kill_exact(process.pid, process.start_time, grace_s=0.1)
    assert process.wait() == -9
    process._popen.stdout.close()


def test_without_grace_nothing_is_said_before_the_end() -> None:
    """A daemon that is told to end says goodbye to its neighbors: a power cut does not."""
    process = run.spawn(["sleep", "60"])
    assert run.kill_exact(process.pid, process.start_time, grace_s=0.0)
    assert process.wait() == -9


def _runs(pid: int) -> bool:
    started = run.start_time(pid)
    return started is not None and run.is_same_process(pid, started)
