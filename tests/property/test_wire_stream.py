"""Both ends of the stream, a real spool and a store, under whatever can happen between them.

Anything happens at any point: messages wait, the connection is lost with what is on it, the tower's
disk is slow, either side is killed. Whatever the order of events, the tower has each record once, in
order, and what it has not the spool has dropped and counted.
"""

import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bongsu.agent.uplink.spool import Kind, Spool
from bongsu.wire.messages import Ack, Batch, Hello, Record, Welcome
from bongsu.wire.receiver import Receiver, Taken
from bongsu.wire.sender import Sender, State

WINDOW = Welcome(0, 7, 10**9)


class Stream(RuleBasedStateMachine):
    """A node, a tower and two pipes between them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bongsu-spool-")
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = Spool(self.path)
        self.spool._database.execute("PRAGMA synchronous=OFF")
        self.now = 0.0
        self.sender = Sender(self.now, lambda: 0.5)
        self.up: deque[Hello | Batch] = deque()
        self.down: deque[Welcome | Ack] = deque()
        self.receiver: Receiver | None = None
        self.waiting: deque[Taken] = deque()
        # The tower's disk: what survives its death.
        self.store: list[Record] = []
        self.kept = 0
        self.missing = 0
        self.made = 0
        self.dropped = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.spool.close()
            self.folder.cleanup()

    @rule(count=st.integers(1, 6))
    def record(self, count: int) -> None:
        bodies = [(Kind.SERIES, str(self.made + each + 1).encode()) for each in range(count)]
        self.made = self.spool.append(bodies)

    @rule(count=st.integers(1, 4))
    def full(self, count: int) -> None:
        """What happens to a full spool, by its own hand, but a few records at a time."""
        database = self.spool._database
        keep_to = self.sender.sent
        rows = database.execute(
            "SELECT sequence FROM record WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (keep_to, count),
        ).fetchall()
        database.executemany("DELETE FROM record WHERE sequence = ?", rows)
        self.dropped += len(rows)

    @precondition(lambda self: self.sender.state is State.WAITING)
    @rule()
    def connect(self) -> None:
        self.now = max(self.now, self.sender.deadline() or 0.0)
        assert self.sender.wants_connection(self.now)
        self.sender.begin(self.now)
        self.up.append(Hello(self.spool.name(), self.spool.last()))

    @rule()
    def send(self) -> None:
        room = self.sender.room()
        if room is None:
            return
        page = self.spool.read(room.after, min(room.records, 3), room.bytes)
        if page.records:
            last = page.records[-1].sequence
            self.sender.batch(last, len(page.records), page.bytes, self.now)
            self.up.append(Batch(room.after, page.records))

    @precondition(lambda self: self.up)
    @rule()
    def tower_hears(self) -> None:
        said = self.up.popleft()
        if isinstance(said, Hello):
            self.receiver = Receiver(self.kept)
            self.down.append(Welcome(self.kept, WINDOW.records, WINDOW.bytes))
            return
        assert self.receiver is not None
        taken = self.receiver.batch(said)
        if taken.records:
            self.waiting.append(taken)

    @precondition(lambda self: self.waiting)
    @rule()
    def tower_keeps(self) -> None:
        taken = self.waiting.popleft()
        assert self.receiver is not None
        self.store += taken.records
        self.missing += taken.missing
        ack = self.receiver.durable(taken)
        self.kept = ack.sequence
        self.down.append(ack)

    @precondition(lambda self: self.down)
    @rule()
    def node_hears(self) -> None:
        said = self.down.popleft()
        if isinstance(said, Welcome):
            self.sender.welcome(said, self.spool.last())
            self.spool.acked(said.acked)
        elif self.sender.ack(said):
            self.spool.acked(said.sequence)

    @precondition(lambda self: self.sender.state is not State.WAITING)
    @rule()
    def cut(self) -> None:
        """The connection is lost, and with it what was on it and what the tower had not kept."""
        self._broken()
        self.sender.lost(self.now)

    @rule()
    def node_dies(self) -> None:
        self._broken()
        self.spool.close()
        self.spool = Spool(self.path)
        self.spool._database.execute("PRAGMA synchronous=OFF")
        self.sender = Sender(self.now, lambda: 0.5)

    @rule()
    def tower_dies(self) -> None:
        self._broken()
        if self.sender.state is not State.WAITING:
            self.sender.lost(self.now)

    def _broken(self) -> None:
        self.up.clear()
        self.down.clear()
        self.waiting.clear()
        self.receiver = None

    @invariant()
    def each_once_and_in_order(self) -> None:
        if not hasattr(self, "store"):
            return
        numbers = [each.sequence for each in self.store]
        assert numbers == sorted(set(numbers))
        assert all(each.body == str(each.sequence).encode() for each in self.store)

    @invariant()
    def everything_is_somewhere(self) -> None:
        if not hasattr(self, "store"):
            return
        there = {each.sequence for each in self.store}
        here = {each.sequence for each in self.spool.read(0, 10**6, 10**9).records}
        assert len(there | here) + self.dropped >= self.made
        # What is forgotten here is kept there.
        assert all(n in there or n in here or n > self.kept for n in here)
        assert len(self.store) + self.missing == self.kept

    @invariant()
    def no_more_on_the_way_than_the_window(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.sender.sent - self.sender.acked <= WINDOW.records + self.dropped

    @rule()
    def calm(self) -> None:
        """When nothing goes wrong any more, all of it arrives."""
        for _ in range(1000):
            if self.sender.state is State.WAITING:
                self.connect()
            self.send()
            for work, step in (
                (self.up, self.tower_hears), (self.waiting, self.tower_keeps),
                (self.down, self.node_hears),
            ):  # fmt: skip
                while work:
                    step()
            if self.spool.waiting() == 0:
                break
        assert self.spool.waiting() == 0


TestStream = Stream.TestCase
TestStream.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_spool_from_the_past_goes_on_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = Spool(path)
    spool.append([(Kind.EVENT, b"x")] * 5)
    sender = Sender(0.0, lambda: 0.5)
    sender.begin(0.0)
    # The tower has 9 of it: this file is a copy of an older time.
    with pytest.raises(Exception, match="9 records"):
        sender.welcome(Welcome(9, 1, 1), spool.last())
    name = spool.name()
    spool.rename()
    assert spool.name() != name
    assert len(spool.read(0, 10, 100).records) == 5
