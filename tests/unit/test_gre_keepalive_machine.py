"""The keepalive machine on a virtual clock."""

from collections.abc import Callable
from itertools import product

import pytest
from pydantic import ValidationError

from bongsu.model.tunnel import Keepalive
from bongsu.protocol.gre_keepalive.machine import (
    MILLISECONDS,
    NS,
    RETRIES,
    SECONDS,
    TABLE,
    UP_AFTER,
    Action,
    Config,
    Event,
    KeepaliveMachine,
    Line,
    LineDown,
    LineUp,
    Send,
    Wake,
)


def test_the_table_is_exhaustive() -> None:
    assert set(TABLE) == set(product(Line, Event))


def test_only_a_change_of_line_is_announced() -> None:
    for (line, _), transition in TABLE.items():
        assert transition.announces is (line is not transition.line)


def test_requests_leave_at_deadlines_and_at_no_other_time() -> None:
    for (_, event), transition in TABLE.items():
        assert transition.sends is (event in (Event.DUE, Event.EXHAUSTED))
        assert transition.clears is (event in (Event.REPLY, Event.ENOUGH))


def up(config: Config, counter: int = 0) -> KeepaliveMachine:
    """A machine that is up, `counter` requests unanswered, the last of them sent at time 0."""
    machine = KeepaliveMachine(config, -config.interval_ns * max(counter - 1, 0))
    for _ in range(counter):
        machine.tick(machine.deadline)
    assert (machine.line, machine.counter) == (Line.UP, counter)
    return machine


def down(config: Config, counter: int = 0, streak: int = 0) -> KeepaliveMachine:
    machine = KeepaliveMachine(config, 0, line=Line.DOWN)
    for _ in range(streak):
        machine.tick(machine.deadline)
        machine.reply(machine.deadline - 1)
    for _ in range(counter):
        machine.tick(machine.deadline)
    assert (machine.line, machine.counter, machine.streak) == (Line.DOWN, counter, streak)
    return machine


ONE, TWO = Config(1, 3), Config(1, 3, up_after=2)


def early(machine: KeepaliveMachine) -> list[Action]:
    return machine.tick(machine.deadline - 1)


def due(machine: KeepaliveMachine) -> list[Action]:
    return machine.tick(machine.deadline)


def reply(machine: KeepaliveMachine) -> list[Action]:
    return machine.reply(machine.deadline - 1)


Cell = tuple[
    Line, Event, KeepaliveMachine, Callable[[KeepaliveMachine], list[Action]], list[Action],
    Line, int, int,
]  # fmt: skip
CELLS: list[Cell] = [
    # line, event, machine, what happens, actions but for Wake, line, counter and streak after
    (Line.UP, Event.EARLY, up(ONE, 3), early, [], Line.UP, 3, 0),
    (Line.UP, Event.DUE, up(ONE, 2), due, [Send(3)], Line.UP, 3, 0),
    (Line.UP, Event.EXHAUSTED, up(ONE, 3), due, [LineDown(3), Send(4)], Line.DOWN, 4, 0),
    (Line.UP, Event.REPLY, up(TWO, 3), reply, [], Line.UP, 0, 0),
    (Line.UP, Event.ENOUGH, up(ONE, 3), reply, [], Line.UP, 0, 0),
    (Line.DOWN, Event.EARLY, down(TWO, 1, 1), early, [], Line.DOWN, 1, 1),
    (Line.DOWN, Event.DUE, down(TWO, 2, 1), due, [Send(3)], Line.DOWN, 3, 1),
    (Line.DOWN, Event.EXHAUSTED, down(TWO, 3, 1), due, [Send(4)], Line.DOWN, 4, 0),
    (Line.DOWN, Event.REPLY, down(TWO, 2), reply, [], Line.DOWN, 0, 1),
    (Line.DOWN, Event.ENOUGH, down(TWO, 2, 1), reply, [LineUp()], Line.UP, 0, 0),
]


def test_every_cell_is_tested_below() -> None:
    assert {(cell[0], cell[1]) for cell in CELLS} == set(TABLE)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0].name}-{cell[1].name}".lower())
def test_cell(cell: Cell) -> None:
    line, _, machine, happens, actions, line_after, counter, streak = cell
    assert machine.line is line
    deadline = machine.deadline
    got = happens(machine)
    assert [action for action in got if not isinstance(action, Wake)] == actions
    assert (machine.line, machine.counter, machine.streak) == (line_after, counter, streak)
    sent = any(isinstance(action, Send) for action in actions)
    assert machine.deadline == deadline + sent * machine.config.interval_ns
    if happens is not reply:
        assert got[-1] == Wake(machine.deadline)
    assert (machine.changed == deadline - (happens is reply)) is (line is not line_after)


def test_ios_timing_of_a_dead_peer() -> None:
    """`keepalive 10 3`: requests at 0, 10, 20 s; at 30 s the counter has reached 3."""
    machine = KeepaliveMachine(Config(), 0)
    seen: list[tuple[int, list[Action]]] = []
    for second in range(0, 50, 10):
        seen.append((second, machine.tick(second * NS)))
    assert seen == [
        (0, [Send(1), Wake(10 * NS)]),
        (10, [Send(2), Wake(20 * NS)]),
        (20, [Send(3), Wake(30 * NS)]),
        (30, [LineDown(3), Send(4), Wake(40 * NS)]),
        (40, [Send(5), Wake(50 * NS)]),
    ]


def test_first_reply_brings_it_up_again() -> None:
    machine = KeepaliveMachine(Config(1, 1), 0)
    machine.tick(0)
    assert LineDown(1) in machine.tick(NS)
    assert machine.reply(NS + 1) == [LineUp()]
    assert (machine.line, machine.counter, machine.changed) == (Line.UP, 0, NS + 1)
    assert machine.reply(NS + 2) == []


def test_hysteresis_wants_replies_in_a_row() -> None:
    """`retries` silent intervals break the row; fewer do not."""
    machine = KeepaliveMachine(Config(1, 2, up_after=3), 0, line=Line.DOWN)
    for _ in range(2):
        due(machine)
        assert reply(machine) == []
    for _ in range(2):
        due(machine)
    assert machine.streak == 2
    due(machine)
    assert machine.streak == 0
    for _ in range(2):
        assert reply(machine) == []
        due(machine)
    assert reply(machine) == [LineUp()]
    assert machine.streak == 0


def test_hysteresis_does_not_delay_going_down() -> None:
    slow, cisco = (KeepaliveMachine(Config(1, 3, up_after=n), 0) for n in (200, 1))
    for second in range(5):
        assert slow.tick(second * NS) == cisco.tick(second * NS)
    assert slow.line is cisco.line is Line.DOWN


def test_fast_mode() -> None:
    """10 ms x 3: down 30 ms after the first request that was not answered."""
    machine = KeepaliveMachine(Config(milliseconds=10), 0)
    times = []
    while machine.line is Line.UP:
        times.append(machine.deadline)
        machine.tick(machine.deadline)
    assert times == [0, 10_000_000, 20_000_000, 30_000_000]


def test_a_reply_just_before_the_deadline_saves_the_line() -> None:
    machine = KeepaliveMachine(Config(1, 3), 0)
    for second in range(3):
        machine.tick(second * NS)
    machine.reply(3 * NS - 1)
    assert machine.tick(3 * NS) == [Send(1), Wake(4 * NS)]


def test_an_early_tick_only_repeats_the_deadline() -> None:
    machine = KeepaliveMachine(Config(1, 3), 0)
    machine.tick(0)
    assert machine.tick(NS - 1) == [Wake(NS)]
    assert machine.counter == 1


def test_a_stall_counts_once() -> None:
    machine = KeepaliveMachine(Config(1, 3), 0)
    machine.tick(0)
    assert machine.tick(60 * NS) == [Send(2), Wake(61 * NS)]
    assert machine.line is Line.UP


def test_small_lateness_does_not_drift() -> None:
    machine = KeepaliveMachine(Config(1, 3), 0)
    machine.tick(0)
    assert machine.tick(NS + NS // 3)[-1] == Wake(2 * NS)


@pytest.mark.parametrize(
    ("late", "next_due"), [(4_999_999, 20), (5_000_000, 25), (9_500_000, 29.5)]
)
def test_an_answer_to_a_late_request_has_half_an_interval(late: int, next_due: float) -> None:
    """With one retry, it would be missed by a deadline that comes before it can be there."""
    machine = KeepaliveMachine(Config(milliseconds=10, retries=1), 0)
    machine.tick(0)
    machine.reply(1)
    assert machine.tick(10_000_000 + late) == [Send(1), Wake(round(next_due * 1e6))]


def test_it_can_begin_down() -> None:
    machine = KeepaliveMachine(Config(1, 3), 0, line=Line.DOWN)
    assert machine.tick(0) == [Send(1), Wake(NS)]
    assert machine.reply(1) == [LineUp()]


def test_time_does_not_go_back_and_changes_nothing() -> None:
    machine = KeepaliveMachine(Config(), 10)
    for event in (machine.tick, machine.reply):
        with pytest.raises(ValueError, match="does not go back"):
            event(9)
    assert (machine.counter, machine.deadline) == (0, 10)


def test_defaults_are_ciscos() -> None:
    config = Config()
    assert (config.interval_ns, config.retries, config.up_after) == (10 * NS, 3, 1)


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("seconds", SECONDS),
        ("milliseconds", MILLISECONDS),
        ("retries", RETRIES),
        ("up_after", UP_AFTER),
    ],
)
def test_ranges_are_those_of_the_network_file(key: str, allowed: range) -> None:
    for value in (allowed[0], allowed[-1]):
        said = Keepalive(**{key: value})
        assert Config.of(said) == Config(**{key: value})
        assert Config.of(said).interval_ns == said.interval_ns
    for value in (allowed[0] - 1, allowed[-1] + 1):
        with pytest.raises(ValueError, match=f"keepalive {key} {value}: {allowed[0]} to "):
            Config(**{key: value})
        with pytest.raises(ValidationError):
            Keepalive(**{key: value})
