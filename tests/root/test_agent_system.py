"""Small things the agent does to a machine: files, policy rules, and daemons that will not live."""

import asyncio
import os
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from bongsu.agent import supervisor
from bongsu.agent.events import EventLog
from bongsu.agent.supervisor import NotReadyError, Supervisor
from bongsu.system import files, netns, rules
from bongsu.system.run import Process, run, spawn
from tests.golden.networks import plans

pytestmark = pytest.mark.root


def test_files_are_replaced_or_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    assert files.write_atomic(path, "one\n", 0o640, "bird")
    first = path.stat()
    assert first.st_mode & 0o7777 == 0o640
    assert not files.write_atomic(path, "one\n", 0o640, "bird")
    assert path.stat().st_ino == first.st_ino
    with path.open() as old:
        # a reader of the old file goes on reading it; held open, its inode is nobody else's
        assert files.write_atomic(path, "one\n", 0o600)
        assert files.write_atomic(path, "two\n", 0o600)
        assert path.stat().st_ino != first.st_ino
        assert old.read() == "one\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert files.remove(path)
    assert not files.remove(path)


def test_a_group_that_is_not_there_gets_nothing(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "secret", "x", 0o640, "no-such-group")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    files.write_atomic(tmp_path / "link", "x")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda top: (top / "link").symlink_to("/etc/passwd"), "symbolic link"),
        (lambda top: (top / "big").write_text("x" * 101), "more than"),
        (lambda top: [(top / str(n)).touch() for n in range(4)], "more than"),
        (lambda top: (top / "binary").write_bytes(b"\xff"), "not UTF-8"),
        (lambda top: os.mkfifo(top / "fifo"), "not a file"),
        (lambda top: top.rmdir(), "not a directory"),
    ],
)
def test_trees_are_bounded(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    make(top)
    with pytest.raises(ValueError, match=message):
        files.read_tree(top, limit_bytes=100, limit_files=3)


def test_rules_of_ours_come_and_go_and_others_stay() -> None:
    name = f"bst-agent-rules-{os.getpid()}"
    netns.create(name)
    try:
        run(["ip", "rule", "add", "from", "198.51.100.0/24", "lookup", "7"], netns=name)
        with netns.in_netns(name):
            four, six = ip_network("103.178.34.0/23"), ip_network("2001:db8:34::/48")
            wanted = rules.reply_rules([four, six], 103)
            assert [len(part) for part in rules.set_rules(wanted)] == [6, 0]
            assert rules.set_rules(wanted) == ([], [])
            said = run(["ip", "rule"]).stdout
            assert "from 103.178.34.0/23 lookup main suppress_prefixlength 0 proto 103" in said
            assert "from 103.178.34.0/23 unreachable proto 103" in said
            assert "from 2001:db8:34::/48 lookup 103" in run(["ip", "-6", "rule"]).stdout
            assert [len(part) for part in rules.set_rules(wanted[:3])] == [0, 3]
            assert [len(part) for part in rules.set_rules([])] == [0, 3]
            said = run(["ip", "rule"]).stdout
        assert "103" not in said
        assert "from 198.51.100.0/24 lookup 7" in said
    finally:
        netns.remove(name)


class Mayfly:
    """A daemon that ends as told, at once or after it has answered."""

    name = unit = "mayfly"

    def __init__(self, script: str, *, up: bool) -> None:
        self.script, self.up, self.starts = script, up, 0

    def start(self, log: Path) -> Process:
        self.starts += 1
        with log.open("ab") as stderr:
            return spawn(["sh", "-c", self.script], stderr=stderr)

    def answers(self) -> bool:
        return self.up and self.starts > 0

    def prioritise(self, pid: int) -> str:
        return "normal"


def test_a_daemon_that_keeps_dying_waits_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(supervisor, "BACKOFF_MOST_S", 0.05)
    events = EventLog(None, None)

    async def scenario() -> None:
        watched = Supervisor(Mayfly("echo broken >&2; exit 3", up=False), tmp_path, events)
        with pytest.raises(NotReadyError, match="ended at once: broken"):
            await watched.ensure()
        while len(ends()) < 5:
            await asyncio.sleep(0.005)
        await watched.stop()
        count = len(ends())
        await asyncio.sleep(0.1)
        assert len(ends()) == count  # and nobody starts it again

    def ends() -> list[float]:
        return [
            event.details["again_in_s"]
            for event in events.since()
            if event.cause == "ended: exit 3" and event.details["stderr"].endswith("broken")
        ]

    asyncio.run(scenario())
    assert ends()[:5] == [0.0, 0.02, 0.04, 0.05, 0.05]


def test_a_daemon_that_somebody_else_runs_is_not_fought(tmp_path: Path) -> None:
    mayfly = Mayfly("exit 0", up=True)
    mayfly.starts = 1

    async def scenario() -> None:
        with pytest.raises(NotReadyError, match="did not start is running"):
            await Supervisor(mayfly, tmp_path, EventLog(None, None)).ensure()

    asyncio.run(scenario())
    assert mayfly.starts == 1


def test_stopping_ends_what_an_earlier_agent_started(tmp_path: Path) -> None:
    async def first() -> int:
        watched = Supervisor(Mayfly("exec sleep 60", up=True), tmp_path, EventLog(None, None))
        watched._daemon.up = False  # type: ignore[attr-defined]
        task = asyncio.ensure_future(watched.ensure())
        await asyncio.sleep(0.05)
        watched._daemon.up = True  # type: ignore[attr-defined]
        assert await task == "started"
        watched.detach()
        return int(watched.status()["pid"] or 0)

    async def second() -> None:
        mayfly = Mayfly("exit 1", up=True)
        mayfly.starts = 1
        watched = Supervisor(mayfly, tmp_path, EventLog(None, None))
        assert await watched.ensure() == "adopted"
        pid = watched.status()["pid"]
        assert await watched.stop()
        assert not await watched.stop()
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"

    asyncio.run(first())
    asyncio.run(second())


def test_rules_of_policies_are_known_again() -> None:
    name = f"bst-agent-policies-{os.getpid()}"
    netns.create(name)
    try:
        with netns.in_netns(name):
            wanted = rules.policy_rules(plans("routers")["hub"])
            assert [len(part) for part in rules.set_rules(wanted)] == [11, 0]
            assert rules.set_rules(wanted) == ([], [])
            said = run(["ip", "rule"]).stdout
            assert "101:\tfrom 10.10.0.128/25 iif wan [detached] goto 999 proto 103" in said
            assert "unresolved" not in said
            # The interface need not be there yet.
            assert "100:\tfrom 10.10.0.128/25 iif lan [detached] lookup 1000 proto 103" in said
            six = run(["ip", "-6", "rule"]).stdout
            assert "from all to fd00:20::/48 iif lan [detached] lookup 1001" in six
            assert [len(part) for part in rules.set_rules([])] == [0, 11]
    finally:
        netns.remove(name)
