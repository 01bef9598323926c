"""One path's window: loss, RTT, jitter, and when it is dead."""

import pytest

from bongsu.protocol.mesh.packet import State
from bongsu.protocol.mesh.window import LATE_NS, Window

MS = 1_000_000
SECOND = 1000 * MS
EVERY = 200 * MS


def run(window: Window, rtts: list[int | None], start: int = 0) -> int:
    """Send one each interval, with its answer (None: none) just before the next; the time after."""
    now = start
    for rtt in rtts:
        sequence = window.send(now)
        if rtt is not None:
            assert window.answer(sequence, now + rtt, 0)
        now += EVERY
    return now


def test_figures_of_the_window() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    now = run(window, [10 * MS, 20 * MS, None, 30 * MS, 20 * MS])
    seen = window.figures(now + SECOND)
    assert (seen.state, seen.sent, seen.lost) == (State.ALIVE, 5, 1)
    assert (seen.p50_ns, seen.p99_ns, seen.avg_ns) == (20 * MS, 30 * MS, 20 * MS)
    assert seen.jitter_ns == 10 * MS
    assert seen.loss == 0.2


def test_what_is_past_the_window_does_not_count() -> None:
    window = Window(EVERY, 2 * SECOND, 5)
    now = run(window, [None] * 4 + [10 * MS] * 10)
    assert window.figures(now).loss == 0
    assert window.figures(now).sent == 9
    assert window.figures(now + 3 * SECOND).sent == 0


def test_the_ring_wraps_and_old_answers_do_not_count() -> None:
    window = Window(EVERY, SECOND, 2)
    first = window.send(0)
    now = run(window, [10 * MS] * 1000, EVERY)
    assert not window.answer(first, now, 0)
    assert (window.figures(now).sent, window.figures(now).lost) == (4, 0)


def test_an_answer_counts_once_and_only_for_a_probe() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    sequence = window.send(0)
    assert window.answer(sequence, 10 * MS, 0)
    assert not window.answer(sequence, 11 * MS, 0)
    assert not window.answer(sequence + 1, 11 * MS, 0)
    assert not window.answer(sequence - 1, 11 * MS, 0)
    assert window.figures(SECOND).p50_ns == 10 * MS


def test_what_the_far_end_held_is_no_part_of_the_path() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    window.answer(window.send(0), 500 * MS, 480 * MS)
    assert window.figures(SECOND).p50_ns == 20 * MS
    # held longer than it was away: a lie, or a clock's doubt
    window.answer(window.send(SECOND), SECOND + 10 * MS, 20 * MS)
    assert window.figures(2 * SECOND).p50_ns == 20 * MS


def test_later_than_late_is_lost() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    assert not window.answer(window.send(0), LATE_NS + 1, 0)
    assert window.figures(3 * SECOND).lost == 1


def test_dead_after_so_many_and_alive_with_one_answer() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    now = run(window, [10 * MS] * 20)
    window.figures(now)
    assert window.unanswered(now) == 0
    now = run(window, [None] * 5, now)
    # the fifth went an interval ago, and may still come
    assert window.figures(now).state is State.ALIVE
    assert window.figures(now + 1).state is State.DEAD
    now = run(window, [10 * MS], now)
    assert (window.figures(now).state, window.unanswered(now)) == (State.ALIVE, 0)


def test_one_that_never_answered_is_unknown_and_then_dead() -> None:
    window = Window(EVERY, 30 * SECOND, 3)
    now = run(window, [None] * 3)
    assert window.figures(now).state is State.UNKNOWN
    assert window.figures(now + SECOND).state is State.DEAD
    assert window.figures(now + SECOND).loss == 1


def test_a_slow_path_is_not_dead_while_its_answers_are_on_their_way() -> None:
    window = Window(20 * MS, 30 * SECOND, 2)
    waiting: list[tuple[int, int]] = []
    for step in range(500):
        now = step * 20 * MS
        waiting.append((now + 600 * MS, window.send(now)))
        while waiting and waiting[0][0] <= now:
            assert window.answer(waiting.pop(0)[1], now, 0)
        if now > 2 * SECOND:
            assert window.figures(now).state is State.ALIVE
            assert window.figures(now).loss == 0


@pytest.mark.parametrize("start", [2**32 - 3, 2**32, 2**33 - 2])
def test_sequences_begin_anew_after_32_bits(start: int) -> None:
    window = Window(EVERY, SECOND, 5)
    window._count = start
    window._answered = start - 1
    now = run(window, [10 * MS] * 6)
    assert window.figures(now - 100 * MS).lost == 0


def test_what_was_sent_before_anybody_was_there_is_no_loss() -> None:
    window = Window(EVERY, 30 * SECOND, 5)
    now = run(window, [None] * 20 + [10 * MS] * 10 + [None] * 2 + [10 * MS])
    seen = window.figures(now + SECOND)
    assert (seen.sent, seen.lost) == (13, 2)
