"""The keepalive machine on a virtual clock."""

from itertools import product

import pytest

from bongsu.protocol.gre_keepalive.machine import (
    NS,
    TABLE,
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


def test_ios_timing_of_a_dead_peer() -> None:
    """`keepalive 10 3`: requests at 0, 10, 20 s; at 30 s the counter has reached 3."""
    machine = KeepaliveMachine(Config(10, 3), 0)
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


@pytest.mark.parametrize(("seconds", "retries"), [(0, 3), (-1, 3), (10, 0)])
def test_config_bounds(seconds: int, retries: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Config(seconds, retries)
