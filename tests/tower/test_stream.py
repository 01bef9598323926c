"""What a node tells arrives once and in order, whatever becomes of the tower, the path or the node."""

import secrets
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from bongsu.agent.uplink.spool import Spool

from .world import HOST, Node, RunningTower, TestClock, until, use

MakeNode = Callable[..., Node]


def arrived(tower: RunningTower, count: int) -> None:
    until(lambda: len(tower.events("seoul")) >= count, f"not {count} events")


def test_everything_that_is_told(tower: RunningTower, node: MakeNode, tmp_path: Path) -> None:
    seoul = node(tower.enrol("seoul", tmp_path / "seoul"))
    for each in range(1, 101):
        seoul.event(each)
        seoul.series(each)
    seoul.recorder.snapshot("status", "digest", {"tunnels": ["a"]})
    until(lambda: tower.nodes()["seoul"].records == 201, "not all records")
    assert tower.numbers("seoul") == list(range(1, 101))
    assert tower.tower is not None
    store, now = tower.tower.store, tower.clock.utc()
    hour = timedelta(hours=1)
    args = ("seoul", "tunnel", "gre-a", "rx", now - hour, now + hour)
    found = store.points(*args, 7200.0, now)
    assert sum(each.count for each in found) == 100
    assert max(each.high for each in found) == 100
    snapshot = store.snapshot("seoul", "status")
    assert snapshot is not None
    assert snapshot.document == {"tunnels": ["a"]}
    row = tower.nodes()["seoul"]
    assert (row.missing, row.unreadable, row.plan) == (0, 0, "digest")
    until(lambda: Spool(seoul.home.spool).waiting() == 0, "acked records stay in the spool")


def test_the_tower_restarts(tower: RunningTower, node: MakeNode, tmp_path: Path) -> None:
    seoul = node(tower.enrol("seoul", tmp_path / "seoul"))
    sent = 0
    for _ in range(3):
        for _ in range(50):
            sent += 1
            seoul.event(sent)
        arrived(tower, sent - 25)
        tower.stop()
        for _ in range(50):
            sent += 1
            seoul.event(sent)
        tower.start()
    arrived(tower, sent)
    assert tower.numbers("seoul") == list(range(1, sent + 1))
    assert seoul.connected() >= 4


def test_an_hour_without_a_tower(tmp_path: Path, node: MakeNode) -> None:
    """The clock of this test runs; no clock of the product does."""
    tower = RunningTower(tmp_path / "tower")
    tower.start()
    clock = TestClock()
    home = tower.enrol("seoul", tmp_path / "seoul")
    seoul = node(home, clock)
    seoul.event(1)
    arrived(tower, 1)
    tower.stop()
    tries = seoul.uplink._machine.reconnects
    spool = Spool(home.spool)
    for second in range(2, 3602):
        clock.added += 1.0
        seoul.event(second)
        seoul.series(second)
        if second % 400 == 0:
            until(lambda: not seoul.recorder._queue, "the disk does not follow")
    until(lambda: spool.last() == 7201, "not all is on the disk")
    assert spool.waiting() >= 7200
    tries = seoul.uplink._machine.reconnects - tries
    assert tries <= 3600 / 6 + 10, "a dead tower is tried too often"
    tower.start()
    clock.added += 60.0
    until(lambda: tower.nodes()["seoul"].records == 7201, "not all has arrived")
    assert tower.numbers("seoul") == list(range(1, 3602))
    assert tower.nodes()["seoul"].missing == 0
    assert seoul.uplink.status()["dropped"] == {
        "series": 0, "snapshots": 0, "events": 0, "before_the_disk": 0,
    }  # fmt: skip
    tower.stop()


def test_a_full_spool_tells_what_went(tower: RunningTower, node: MakeNode, tmp_path: Path) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    tower.stop()
    seoul = node(home)
    spool = Spool(home.spool)
    for each in range(1, 61):
        seoul.event(each)
        for part in range(3):
            seoul.series(each, "s" * 200 + str(part))
        for _ in range(4):
            # Noise does not pack: 240 of them are 24 MB, and there is room for 12.
            seoul.recorder.snapshot("status", "", secrets.token_hex(100_000))
        if each % 10 == 0:
            until(lambda: not seoul.recorder._queue, "the disk does not follow")
    until(lambda: spool.last() == 480, "not all was given a number")
    dropped = spool.dropped()
    assert dropped.series > 170
    assert dropped.events == 0
    assert 100 < dropped.snapshots < 240
    assert spool.bytes_on_disk() <= 16 * 2**20
    assert any("full" in each for each in seoul.heard("spool"))
    tower.start()
    until(lambda: tower.nodes()["seoul"].records == 480 - dropped.total, "not all has arrived")
    assert tower.numbers("seoul") == list(range(1, 61))
    assert tower.nodes()["seoul"].missing == dropped.total


class Wire:
    """A path between a node and its tower that can be cut, or swallow everything in silence."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self._target = port
        self._pairs: list[socket.socket] = []
        self.silent = False
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def more(self, size: int, clock: TestClock) -> None:
        """Wait until so much more has been carried; the waits between connections are passed over."""
        goal = self.carried + size

        def carried() -> bool:
            clock.added += 0.5
            return self.carried >= goal

        until(carried, "nothing is carried")

    def cut(self) -> None:
        for each in self._pairs:
            self._shut(each)
        self._pairs.clear()

    def close(self) -> None:
        self.listener.close()
        self.cut()

    def _shut(self, each: socket.socket) -> None:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection((HOST, self._target))
            except OSError:
                return
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if not self.silent:
                    other.sendall(data)
                    self.carried += len(data)
        except OSError:
            pass
        self._shut(other)


def test_the_path_is_cut_again_and_again(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    path = Wire(tower.node_port)
    home = tower.enrol("seoul", tmp_path / "seoul")
    use(home, port=path.port)
    clock = TestClock()
    seoul = node(home, clock)
    sent = 0
    for cut in range(6):
        for _ in range(200):
            sent += 1
            seoul.event(sent, text="x" * 500)
        path.more(20_000 * (cut % 4), clock)
        path.cut()
        clock.added += 60.0
    arrived(tower, sent)
    assert tower.numbers("seoul") == list(range(1, sent + 1))
    assert tower.nodes()["seoul"].missing == 0
    path.close()


def test_a_path_that_swallows_is_given_up(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    path = Wire(tower.node_port)
    home = tower.enrol("seoul", tmp_path / "seoul")
    use(home, port=path.port)
    clock = TestClock()
    seoul = node(home, clock)
    seoul.event(1)
    arrived(tower, 1)
    path.silent = True
    seoul.event(2)
    until(lambda: seoul.uplink._machine.sent > seoul.uplink._machine.acked, "nothing is sent")
    clock.added += 61.0
    until(lambda: any("acknowledgement" in each for each in seoul.heard("tower")), "still waits")
    path.silent = False
    path.cut()
    clock.added += 60.0
    arrived(tower, 2)
    assert tower.numbers("seoul") == [1, 2]
    path.close()


def test_a_copy_of_a_node_does_not_mix_its_records_in(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    """A machine set back to an older state gives its numbers a second time."""
    home = tower.enrol("seoul", tmp_path / "seoul")
    first = node(home)
    for each in range(1, 11):
        first.event(each)
    arrived(tower, 10)
    first.stop()
    spool = Spool(home.spool)
    name = spool.name()
    spool._database.execute("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'record'")
    spool.close()
    clock = TestClock()
    second = node(home, clock)
    for each in range(101, 104):
        second.event(each)
    until(lambda: any("records of this spool" in each for each in second.heard("tower")), "silent")
    clock.added += 60.0
    arrived(tower, 13)
    assert tower.numbers("seoul") == [*range(1, 11), 101, 102, 103]
    assert Spool(home.spool).name() != name


def test_two_agents_with_one_identity_lose_nothing(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    one = node(home)
    one.event(1)
    arrived(tower, 1)
    other = node(home)
    other.event(2)
    until(lambda: any("tower" in each.subject for each in one.said if each.level == "warning"),
          "the first one was not displaced")  # fmt: skip
    arrived(tower, 2)
    assert sorted(tower.numbers("seoul")) == [1, 2]
