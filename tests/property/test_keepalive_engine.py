"""The machine in C and its specification in Python, driven side by side by chance."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.protocol.gre_keepalive import Config, KeepaliveMachine, LineDown, LineUp, Send, Wake
from bongsu.protocol.gre_keepalive.machine import Action, Line
from bongsu.system.bpf import layout
from tests.unit.keepalive_machine import DOWN, FOUR, SEND, SIX, UP, Machine, session

START = 10**12
OPEN, DONE = layout.KEEPALIVE_OUTSTANDING, layout.KEEPALIVE_ANSWERED

configs = st.builds(
    Config,
    milliseconds=st.integers(5, 60),
    retries=st.one_of(st.integers(1, 4), st.integers(1, 40)),
    up_after=st.integers(1, 4),
)
happening = st.one_of(
    st.tuples(st.just("due"), st.integers(1, 8)),
    st.tuples(st.just("due"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.integers(0, 300_000_000)),
    # by halves of the interval: from one on the next deadline is another
    st.tuples(st.just("late"), st.integers(0, 4)),
    # of the latest request, or of one that many before it
    st.tuples(st.just("reply"), st.one_of(st.just(0), st.integers(0, 40))),
    st.tuples(st.just("reply"), st.just(0)),
    st.tuples(st.just("replay"), st.integers(0, 3)),
    st.tuples(st.just("forged"), st.integers(0, 0xFFFF)),
)
events = st.lists(happening, min_size=25, max_size=80)


@dataclass
class Pair:
    """Both, and what the one in C is allowed to believe."""

    c: Machine
    python: KeepaliveMachine
    nonce: bool
    ends: Any
    now: int = START

    def same(self, theirs: list[Action], ours: list[Any]) -> None:
        told: list[Action] = []
        for action in ours:
            if action["what"] == SEND:
                told.append(Send(int(action["counter"])))
            else:
                assert action["what"] in (UP, DOWN)
                down = action["what"] == DOWN
                told.append(LineDown(int(action["counter"])) if down else LineUp())
        assert told == [each for each in theirs if not isinstance(each, Wake)]
        record = self.c.records[5]
        up = self.python.line is Line.UP
        assert bool(record["line"]) == up
        assert record["sent"] - record["answered"] == self.python.counter
        assert record["streak"] == self.python.streak
        assert record["changed_at"] == self.python.changed
        assert self.c.due == self.python.deadline
        assert bool(self.c.states[5]["keepalive_down"]) != up

    def tick(self) -> None:
        self.same(self.python.tick(self.now), self.c.step(self.now))

    def reply(self, ago: int, *, wanted: int) -> None:
        index = (int(self.c.records[5]["sent"]) - 1 - ago) % 32
        tag = int(self.c.records[5]["tag"][index])
        if tag & ~layout.KEEPALIVE_IDENTIFICATION != wanted:
            return
        identification = tag & layout.KEEPALIVE_IDENTIFICATION
        nonce = self.c.records[5]["nonce"][index].tobytes() if self.nonce else b""
        taken = self.c.judge(identification, self.now, ends=self.ends, rest=nonce)
        assert taken == (wanted == OPEN)
        theirs = self.python.reply(self.now) if taken else []
        self.same(theirs, self.c.replied(5, self.now))

    def forged(self, identification: int) -> None:
        tag = int(self.c.records[5]["tag"][identification % 32])
        if tag & layout.KEEPALIVE_IDENTIFICATION == identification:
            return
        assert not self.c.judge(identification, self.now, ends=self.ends)
        self.same([], self.c.replied(5, self.now))


@settings(max_examples=100, deadline=None)
@given(config=configs, happenings=events, up=st.booleans(), nonce=st.booleans(), six=st.booleans())
def test_equal(
    config: Config, happenings: list[tuple[str, int]], up: bool, nonce: bool, six: bool
) -> None:
    line = Line.UP if up else Line.DOWN
    ends = SIX if six else FOUR
    made = session(
        ends,
        nonce,
        interval_ns=config.interval_ns,
        retries=config.retries,
        up_after=config.up_after,
    )
    with Machine() as machine:
        assert machine.add(5, made, START, up) == 0
        pair = Pair(machine, KeepaliveMachine(config, START, line=line), nonce, ends)
        for what, value in happenings:
            if what == "due":
                for _ in range(value):
                    pair.now = max(pair.now, pair.python.deadline)
                    pair.tick()
            elif what == "wait":
                pair.now += value
                pair.tick()
            elif what == "late":
                late = pair.python.deadline + value * config.interval_ns // 2
                pair.now = max(pair.now, late)
                pair.tick()
            elif what == "forged":
                pair.forged(value)
            else:
                pair.reply(value, wanted=OPEN if what == "reply" else DONE)
