"""Whatever happens in whatever order, the keepalive machine keeps its promises."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from bongsu.protocol.gre_keepalive.machine import (
    NS,
    Action,
    Config,
    KeepaliveMachine,
    Line,
    LineDown,
    LineUp,
    Send,
    Wake,
)

configs = st.builds(
    Config,
    seconds=st.integers(1, 60),
    retries=st.integers(1, 8),
    milliseconds=st.none() | st.integers(5, 60_000),
    up_after=st.integers(1, 5),
)
steps = st.lists(
    st.tuples(st.sampled_from(["tick", "due", "reply"]), st.integers(0, 90 * NS)), max_size=120
)


@given(configs, st.sampled_from(Line), steps)
def test_random_events(config: Config, line: Line, steps: list[tuple[str, int]]) -> None:
    machine = KeepaliveMachine(config, 0, line=line)
    now, since_reply, deadline = 0, 0, 0
    # Kept apart from the machine: replies since the line went down or fell silent.
    row = 0
    changes: list[LineUp | LineDown] = []
    for kind, wait in steps:
        before, unanswered = machine.line, machine.counter
        now = max(now, machine.deadline) if kind == "due" else now + wait
        actions = machine.reply(now) if kind == "reply" else machine.tick(now)
        sends = [action for action in actions if isinstance(action, Send)]
        told = [action for action in actions if isinstance(action, LineUp | LineDown)]

        assert len(told) == (machine.line is not before)
        if kind == "reply":
            assert not sends
            since_reply = 0
            row += before is Line.DOWN
            # Up by the last reply that is called for, and by no other.
            came_up = before is Line.DOWN and row >= config.up_after
            assert told == ([LineUp()] if came_up else [])
        else:
            # A request leaves exactly when its time has come, line up or down.
            assert len(sends) == (now >= deadline)
            silent = now >= deadline and unanswered >= config.retries
            if silent:
                row = 0
            assert told == ([LineDown(unanswered)] if silent and before is Line.UP else [])
            since_reply += len(sends)
            assert actions[-1] == Wake(machine.deadline)
            assert now < machine.deadline <= now + config.interval_ns
            # Announced before it is sent: data must not follow on a line that is down.
            assert [type(action) for action in actions[:-1]] == [
                type(action) for action in told + sends
            ]
            deadline = machine.deadline
        if machine.line is Line.UP:
            row = 0
            assert machine.counter <= config.retries
        assert [action.counter for action in sends] == [since_reply][: len(sends)]
        assert machine.counter == since_reply
        assert machine.streak == row < max(config.up_after, 1)
        changes += told
    kinds = [type(change) for change in changes]
    first = LineDown if line is Line.UP else LineUp
    assert all(kind is first for kind in kinds[::2])
    assert all(kind is not first for kind in kinds[1::2])


Deliver = Callable[[str, int], int | None]
"""Who asks, and when the request leaves: how long the way there and back takes; None: lost."""


@dataclass
class World:
    """Machines that share one virtual clock; each far end reflects at once."""

    machines: dict[str, KeepaliveMachine]
    deliver: Deliver
    changes: dict[str, list[tuple[int, Action]]] = field(default_factory=dict)

    def run(self, until: int) -> None:
        self.changes = {name: [] for name in self.machines}
        in_flight: list[tuple[int, int, str]] = []
        while True:
            now = min(machine.deadline for machine in self.machines.values())
            if in_flight:
                now = min(now, in_flight[0][0])
            if now > until:
                return
            # What has arrived is read before timers are looked at.
            while in_flight and in_flight[0][0] <= now:
                _, _, name = heapq.heappop(in_flight)
                self._note(name, now, self.machines[name].reply(now))
            for name, machine in self.machines.items():
                if machine.deadline > now:
                    continue
                actions = machine.tick(now)
                self._note(name, now, actions)
                trip = self.deliver(name, now)
                if trip is not None:
                    assert any(isinstance(action, Send) for action in actions)
                    heapq.heappush(in_flight, (now + trip, now, name))

    def _note(self, name: str, now: int, actions: list[Action]) -> None:
        self.changes[name] += [
            (now, action) for action in actions if isinstance(action, LineUp | LineDown)
        ]


@given(
    config=configs,
    trip=st.floats(0, 0.999),
    cut=st.tuples(st.integers(0, 10), st.integers(0, 25)),
    phase=st.floats(0, 0.999),
    cut_phase=st.floats(0, 0.999),
)
def test_a_cut_is_noticed_by_both_ends_and_so_is_its_end(
    config: Config, trip: float, cut: tuple[int, int], phase: float, cut_phase: float
) -> None:
    """Down within retries + 1 intervals of the cut, up within up_after intervals and a trip."""
    interval = config.interval_ns
    delay = int(trip * interval)
    cut_from = int((cut[0] + cut_phase) * interval)
    cut_to = cut_from + cut[1] * interval
    world = World(
        {
            "a": KeepaliveMachine(config, 0),
            "b": KeepaliveMachine(config, int(phase * interval)),
        },
        lambda _, now: None if cut_from <= now < cut_to else delay,
    )
    world.run(cut_to + (config.up_after + 2) * interval)
    for name, machine in world.machines.items():
        assert machine.line is Line.UP, name
        changes = world.changes[name]
        assert [type(action) for _, action in changes] in ([], [LineDown, LineUp])
        # Counted from the first request that was lost, which leaves up to one interval later.
        if cut[1] >= config.retries + 2:
            assert changes
        for at, action in changes:
            if isinstance(action, LineDown):
                assert cut_from + config.retries * interval <= at
                # The machine's first request is the start of its own time.
                start = max(cut_from, int(phase * interval) if name == "b" else 0)
                assert at <= start + (config.retries + 1) * interval
            else:
                assert cut_to <= at <= cut_to + config.up_after * interval + delay


@given(configs, st.integers(2, 30))
def test_only_the_side_that_is_not_answered_goes_down(config: Config, intervals: int) -> None:
    """Each end judges for itself: B's requests are lost, A's are answered, so A stays up."""
    world = World(
        {"a": KeepaliveMachine(config, 0), "b": KeepaliveMachine(config, 0)},
        lambda name, _: 1 if name == "a" else None,
    )
    world.run(intervals * config.interval_ns)
    assert world.changes["a"] == []
    down = intervals >= config.retries
    expected = [(config.retries * config.interval_ns, LineDown(config.retries))] if down else []
    assert world.changes["b"] == expected


@given(configs, st.integers(1, 10))
def test_both_down_come_back(config: Config, trip_ms: int) -> None:
    """Requests go on while a line is down, or two ends that wait for each other would for ever."""
    world = World(
        {name: KeepaliveMachine(config, 0, line=Line.DOWN) for name in ("a", "b")},
        lambda _, __: trip_ms * 100_000,
    )
    world.run((config.up_after + 1) * config.interval_ns)
    for name in world.machines:
        at = (config.up_after - 1) * config.interval_ns + trip_ms * 100_000
        assert world.changes[name] == [(at, LineUp())]


@given(configs, st.data())
def test_loss_below_retries_is_not_seen(config: Config, data: st.DataObject) -> None:
    """Any pattern that answers one request of each `retries` leaves the line up."""
    # With the trip below an interval, the answer is there before the deadline that would count.
    gaps = data.draw(st.lists(st.integers(0, config.retries - 1), min_size=1, max_size=30))
    pattern = [kept for gap in gaps for kept in [False] * gap + [True]]
    answers = iter(pattern + [True] * 2)
    world = World(
        {"a": KeepaliveMachine(config, 0)},
        lambda _, __: config.interval_ns - 1 if next(answers, True) else None,
    )
    world.run(len(pattern) * config.interval_ns)
    assert world.changes["a"] == []


@given(configs, st.integers(1, 6), st.integers(0, 10))
def test_a_long_way_is_no_silence(config: Config, trip: int, extra_ms: int) -> None:
    """Answers that take longer than an interval still count; only the first ones are waited for."""
    interval = config.interval_ns
    delay = trip * interval + extra_ms * 100_000
    world = World({"a": KeepaliveMachine(config, 0)}, lambda _, __: delay)
    world.run(delay + (config.retries + config.up_after + 3) * interval)
    assert world.machines["a"].line is Line.UP
    late = delay > config.retries * interval
    assert [type(action) for _, action in world.changes["a"]] == [LineDown, LineUp] * late
