"""Echoes through a tunnel: when one is due, what an answer is worth, and what was lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.protocol.link.prober import WINDOW_NS, Prober

MS = 1_000_000


def prober() -> Prober:
    return Prober(0, 200 * MS, 3)


def test_misses_in_a_row_are_counted_and_one_answer_ends_them() -> None:
    echo = prober()
    assert echo.send(0) == 1
    assert echo.answer(1, 5 * MS)
    assert (echo.last_ns, echo.evidence(5 * MS).ever) == (5 * MS, True)
    for number, at in enumerate(range(200, 1200, 200), 2):
        assert echo.send(at * MS) == number
    seen = echo.evidence(1000 * MS)
    assert seen.unanswered == 4
    # The last one is still on its way; its answer says that the tunnel carries.
    assert echo.answer(6, 1010 * MS)
    assert echo.evidence(1010 * MS).unanswered == 0
    assert echo.evidence(1010 * MS).lost == 4


@pytest.mark.parametrize("way_ms", [150, 250, 390, 600, 1150])
def test_a_way_longer_than_an_interval_is_no_loss(way_ms: int) -> None:
    """From Seoul to the Atlantic and back takes longer than the default interval."""
    echo = prober()
    answers: dict[int, int] = {}
    worst = 0
    for now in range(0, 20_000, 10):
        sequence = echo.send(now * MS)
        if sequence is not None:
            answers[now + way_ms] = sequence
        if now in answers:
            assert echo.answer(answers[now], now * MS)
        if now > way_ms:
            worst = max(worst, echo.evidence(now * MS).unanswered)
    seen = echo.evidence(20_000 * MS)
    assert (seen.ever, echo.last_ns) == (True, way_ms * MS)
    assert worst < 3
    # No more than what is on its way.
    assert seen.lost <= way_ms / 200


def test_an_answer_that_is_far_too_late_is_none() -> None:
    echo = prober()
    for at in range(0, 3000, 200):
        echo.send(at * MS)
    assert not echo.answer(1, 3000 * MS)
    assert echo.answer(8, 3000 * MS)
    assert not echo.answer(8, 3000 * MS)
    echo.begin()
    assert not echo.answer(9, 3000 * MS)


def test_an_answer_counts_once_and_only_for_what_is_out() -> None:
    echo = prober()
    echo.send(0)
    assert not echo.answer(7, MS)
    assert echo.answer(1, MS)
    assert not echo.answer(1, 2 * MS)
    assert echo.answered == 1


def test_nothing_is_sent_before_it_is_due_nor_in_a_burst_after_a_stall() -> None:
    echo = prober()
    assert echo.send(0) == 1
    assert echo.send(199 * MS) is None
    assert echo.send(10_000 * MS) == 2
    assert echo.send(10_100 * MS) is None


def test_what_is_lost_before_the_first_answer_is_no_loss() -> None:
    echo = prober()
    for at in range(0, 2000, 200):
        echo.send(at * MS)
    seen = echo.evidence(2000 * MS)
    assert (seen.ever, seen.lost, seen.counted) == (False, 0, 0)
    assert seen.unanswered >= 3


def test_a_new_beginning_and_a_minute_later() -> None:
    echo = prober()
    for number, at in enumerate(range(0, 2000, 200), 1):
        echo.send(at * MS)
        if number % 2:
            echo.answer(number, (at + 1) * MS)
    assert echo.evidence(2000 * MS).lost == 4
    assert echo.evidence(2000 * MS + WINDOW_NS).counted == 0
    echo.begin()
    assert (echo.evidence(2000 * MS).ever, echo.evidence(2000 * MS).counted) == (False, 0)


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), max_size=200))
def test_the_books_balance(steps: list[tuple[int, bool]]) -> None:
    echo, now = prober(), 0
    for later, answered in steps:
        now += later * MS
        sequence = echo.send(now)
        if sequence is not None and answered:
            assert echo.answer(sequence, now)
        seen = echo.evidence(now)
        assert 0 <= seen.lost <= seen.counted
        assert seen.unanswered + echo.answered <= echo.sent
