"""Rows of the windows that have passed, in a bounded ring."""

from bongsu.protocol.mesh.history import ROWS, History
from bongsu.protocol.mesh.packet import State
from bongsu.protocol.mesh.window import Figures

SECOND = 1_000_000_000
SEEN = Figures(State.ALIVE, 100, 25, 10, 20, 12, 3)


def test_a_row_for_each_window_and_no_more_than_there_is_room() -> None:
    history = History(5 * SECOND)
    assert history.every_ns == 30 * SECOND
    for at in range(ROWS * 30 + 3000):
        history.note(at * SECOND, {1: SEEN}, {1: 2})
    rows = history.rows(1)
    assert len(rows) == ROWS
    assert rows["at_ns"][-1] - rows["at_ns"][0] == (ROWS - 1) * 30 * SECOND
    assert (rows["loss"][0], rows["p99_ns"][0], rows["next_hop"][0]) == (0.25, 20, 2)


def test_those_that_are_gone_are_forgotten() -> None:
    history = History(60 * SECOND)
    history.note(0, {1: SEEN}, {})
    history.note(60 * SECOND, {1: SEEN, 2: Figures()}, {})
    assert history.rows(2)["p50_ns"].tolist() == [-1]
    history.follow([2])
    assert (len(history.rows(1)), len(history.rows(2))) == (0, 1)
