"""Which way is taken, when, and what is said of it."""

from bongsu.protocol.mesh.packet import Leg, State
from bongsu.protocol.mesh.path import FIRST_NS, Path, Rules, Way, Why, direct, through
from bongsu.protocol.mesh.words import said

MS = 1_000_000
SECOND = 1000 * MS
RULES = Rules(10 * SECOND, 0.1)
SEOUL, TOKYO, BERLIN = 1, 2, 3
NAMES = {SEOUL: "seoul", TOKYO: "tokyo", BERLIN: "berlin"}


def alive(rtt_ms: float, loss: float = 0.0, jitter_ms: float = 0.0, third: bool = False) -> Way:
    return Way(State.ALIVE, loss, int(rtt_ms * MS), int(jitter_ms * MS), third)


DEAD = Way(State.DEAD, 1.0, 0, 0)
UNKNOWN = Way(State.UNKNOWN, 0.0, 0, 0)


def test_what_a_way_costs() -> None:
    assert alive(60).cost_ms == 60
    assert alive(60, jitter_ms=5).cost_ms == 65
    assert alive(60, third=True).cost_ms == 61
    # half is lost: each packet is sent once more on average, a second later
    assert alive(60, loss=0.5).cost_ms == 1060
    assert alive(60, loss=1.0).cost_ms < 1e6


def test_two_legs() -> None:
    first, second = Leg(State.ALIVE, 0.5, 10 * MS, 1 * MS), Leg(State.ALIVE, 0.2, 20 * MS, 2 * MS)
    way = through(first, second)
    assert (way.state, way.rtt_ns, way.jitter_ns, way.third) == (State.ALIVE, 30 * MS, 3 * MS, True)
    assert abs(way.loss - 0.6) < 1e-9
    assert through(first, Leg(State.DEAD)).state is State.DEAD
    assert through(first, Leg()).state is State.UNKNOWN
    assert through(Leg(State.DEAD), Leg()).state is State.DEAD
    assert not direct(first).third


def test_the_first_choice_need_not_wait_for_the_hold() -> None:
    path = Path(SEOUL, RULES, 0)
    ways = {SEOUL: alive(60), TOKYO: alive(40)}
    assert path.look(FIRST_NS - 1, ways) is None
    change = path.look(FIRST_NS, ways)
    assert change is not None
    assert (change.before, change.after, change.why) == (SEOUL, TOKYO, Why.BETTER)


def test_one_that_an_earlier_run_left_is_held() -> None:
    path = Path(SEOUL, RULES, 0, TOKYO)
    ways = {SEOUL: alive(10), TOKYO: alive(40)}
    assert path.look(10 * SECOND - 1, ways) is None
    assert path.look(10 * SECOND, ways) is not None


def test_better_is_not_enough() -> None:
    path = Path(SEOUL, RULES, 0)
    assert path.look(SECOND * 60, {SEOUL: alive(60), TOKYO: alive(55)}) is None
    assert path.look(SECOND * 60, {SEOUL: alive(60), TOKYO: alive(53)}) is not None


def test_a_dead_one_is_left_at_once_even_within_the_hold() -> None:
    path = Path(SEOUL, RULES, 0)
    change = path.look(1, {SEOUL: DEAD, TOKYO: alive(500), BERLIN: alive(400)})
    assert change is not None
    assert (change.after, change.why) == (BERLIN, Why.DEAD)
    # and back into the one that was left, if it is the only one that lives
    change = path.look(2, {SEOUL: alive(60), TOKYO: DEAD, BERLIN: DEAD})
    assert change is not None
    assert change.after == SEOUL


def test_all_dead_stays() -> None:
    path = Path(SEOUL, RULES, 0)
    assert path.look(SECOND * 60, {SEOUL: DEAD, TOKYO: DEAD, BERLIN: UNKNOWN}) is None


def test_one_of_which_nothing_is_known_is_left_after_the_hold() -> None:
    path = Path(SEOUL, RULES, 0, TOKYO)
    ways = {SEOUL: alive(60), TOKYO: UNKNOWN}
    assert path.look(9 * SECOND, ways) is None
    assert path.look(10 * SECOND, ways) is not None


def test_one_lost_probe_is_no_reason() -> None:
    path = Path(SEOUL, RULES, 0)
    ways = {SEOUL: alive(10, loss=1 / 150), TOKYO: alive(11)}
    assert path.look(SECOND * 60, ways, forgiven=1 / 150) is None
    assert path.look(SECOND * 60, ways) is not None


def test_a_third_pop_that_is_none_any_more() -> None:
    path = Path(SEOUL, RULES, 0, TOKYO)
    change = path.look(1, {SEOUL: UNKNOWN, BERLIN: UNKNOWN})
    assert change is not None
    assert (change.after, change.why, change.left) == (SEOUL, Why.GONE, None)


def test_of_equal_ones_the_direct_way() -> None:
    path = Path(SEOUL, RULES, 0, BERLIN)
    ways = {TOKYO: alive(39, third=True), SEOUL: alive(40), BERLIN: DEAD}
    change = path.look(1, ways)
    assert change is not None
    assert change.after == SEOUL


def test_what_is_said() -> None:
    def words(left: Way, taken: Way) -> str:
        path = Path(SEOUL, RULES, 0)
        change = path.look(60 * SECOND, {SEOUL: left, TOKYO: taken})
        assert change is not None
        return said(change, NAMES, 30, 5)

    assert words(alive(60, loss=0.48), alive(70)) == (
        "through tokyo, direct lost 48 % of the last 30 s"
    )
    assert words(alive(180), alive(60)) == (
        "through tokyo, direct had an RTT of 180 ms instead of 60"
    )
    assert words(alive(60, jitter_ms=40), alive(60, jitter_ms=1)) == (
        "through tokyo, direct had a jitter of 40 ms instead of 1"
    )
    assert words(DEAD, alive(60)) == "through tokyo, direct was dead: 5 probes unanswered"
    back = Path(SEOUL, RULES, 0, TOKYO)
    change = back.look(1, {SEOUL: alive(60), TOKYO: DEAD})
    assert change is not None
    assert said(change, NAMES, 30, 5) == "direct, through tokyo was dead: 5 probes unanswered"
    change = Path(SEOUL, RULES, 0, TOKYO).look(1, {SEOUL: alive(60)})
    assert change is not None
    assert said(change, NAMES, 30, 5) == "direct, through tokyo is no way any more"
