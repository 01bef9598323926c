"""The figures of a run, held against the standard library's, against mtr's way to count, and RFC 3550's."""

import random
import statistics
from ipaddress import ip_address
from itertools import pairwise

import numpy as np
import pytest

from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import MS, SECOND, TARGET
from bongsu.protocol.path.records import MANY, ROW, Addresses, Table
from bongsu.protocol.path.report import report, run_dict
from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import hops, target_figures
from tests.unit.path_runs import BEGAN_NS, TARGETS, drawn, head, kept

R1, R2, R3 = (ip_address(f"203.0.113.{last}") for last in (1, 2, 3))
HOSTS = [TARGETS[4], R1, R2, R3]
Answered = tuple[int, float, Kind]
"""Place of the host (1 is the target, 0 nobody), RTT in ms, kind."""
Round = dict[int, Answered]
"""By hop limit."""
LOST: Answered = (0, -1.0, Kind.LOST)


def path_run(rounds: list[Round]) -> Run:
    """A run of these rounds, a second apart."""
    flat = [(at, ttl, *answer) for at, each in enumerate(rounds) for ttl, answer in each.items()]
    rows = np.zeros(len(flat), ROW)
    for number, (at, ttl, host, rtt, kind) in enumerate(flat):
        rows[number]["sent_ns"] = BEGAN_NS + at * SECOND
        rows[number]["sequence"] = number
        rows[number]["ttl"], rows[number]["host"], rows[number]["kind"] = ttl, host, kind
        rows[number]["rtt_ns"] = round(rtt * MS) if rtt >= 0 else -1
    return Run(head("web"), [BEGAN_NS], Addresses(HOSTS), Table(rows))


def round_(*, second: Answered = (3, 2.0, Kind.EXCEEDED)) -> dict[int, tuple[int, float, Kind]]:
    return {
        TARGET: (1, 9.0, Kind.REPLY),
        1: (2, 1.0, Kind.EXCEEDED),
        2: second,
        3: (1, 3.0, Kind.REPLY),
    }


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_the_standard_librarys(seed: int) -> None:
    source = random.Random(seed)
    series = [source.gammavariate(3, 20) if source.random() > 0.3 else None for _ in range(400)]
    rtt = [each for each in series if each is not None]
    found = target_figures(kept(series))
    assert (found.sent, found.lost) == (400, 400 - len(rtt))
    cuts = statistics.quantiles(rtt, n=100, method="inclusive")
    for value, expected in (
        (found.last_ms, rtt[-1]),
        (found.avg_ms, statistics.fmean(rtt)),
        (found.best_ms, min(rtt)),
        (found.worst_ms, max(rtt)),
        (found.stdev_ms, statistics.stdev(rtt)),
        (found.p50_ms, cuts[49]),
        (found.p95_ms, cuts[94]),
        (found.p99_ms, cuts[98]),
    ):
        assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("number", [2, 3, 50, 10_000])
def test_jitter_is_rfc_3550s(number: int) -> None:
    source = random.Random(number)
    rtt = [source.uniform(10, 90) for _ in range(number)]
    estimate, steps = 0.0, []
    for before, after in pairwise(rtt):
        steps.append(abs(after - before))
        estimate += (steps[-1] - estimate) / 16
    found = target_figures(kept(rtt))
    assert found.jint_ms == pytest.approx(estimate, abs=1e-3)
    assert found.jitter_ms == pytest.approx(statistics.fmean(steps), abs=1e-3)


def test_a_lost_probe_is_no_step_of_jitter() -> None:
    assert target_figures(kept([10, None, None, 14])).jitter_ms == pytest.approx(4)


def test_one_answer_has_no_deviation_and_no_jitter() -> None:
    found = target_figures(kept([12.5, None]))
    assert (found.stdev_ms, found.jitter_ms, found.jint_ms) == (0.0, None, None)


def test_nothing_answered() -> None:
    found = target_figures(kept([None, None]))
    assert (found.sent, found.lost, found.loss, found.avg_ms, found.p99_ms) == (
        2,
        2,
        1.0,
        None,
        None,
    )


def test_nothing_sent() -> None:
    assert (target_figures(kept([])).sent, target_figures(kept([])).loss) == (0, 0.0)


def test_rows_are_read_in_the_order_of_sending() -> None:
    run = kept([10, 20, 90])
    run.rows[:] = run.rows[[0, 2, 1]]
    assert target_figures(run).last_ms == 90


def test_the_path_hop_by_hop() -> None:
    path = hops(path_run([round_(), round_(second=LOST), round_()]))
    assert [hop.number for hop in path] == [1, 2, 3]
    assert [hop.figures.sent for hop in path] == [3, 3, 3]
    assert [hop.figures.lost for hop in path] == [0, 1, 0]
    assert [hop.addresses for hop in path] == [((R1, 3),), ((R2, 2),), ((TARGETS[4], 3),)]
    assert [hop.target for hop in path] == [False, False, True]
    assert path[-1].figures.avg_ms == 9.0  # of the probes to the target, not of the round's


def test_addresses_that_change_are_all_shown_the_latest_first() -> None:
    rounds = [round_(), round_(second=(4, 2.0, Kind.EXCEEDED)), round_()]
    assert hops(path_run(rounds))[1].addresses == ((R2, 2), (R3, 1))
    rounds.append(rounds[1])
    assert hops(path_run(rounds))[1].addresses == ((R3, 2), (R2, 2))


def test_a_path_that_grew_has_its_new_hops() -> None:
    grown = {
        TARGET: (1, 9.0, Kind.REPLY),
        1: (2, 1.0, Kind.EXCEEDED),
        2: (3, 2.0, Kind.EXCEEDED),
        3: (4, 3.0, Kind.EXCEEDED),
        4: (1, 3.0, Kind.REPLY),
    }
    assert [hop.number for hop in hops(path_run([round_(), grown]))] == [1, 2, 3, 4]
    assert [hop.number for hop in hops(path_run([grown, round_()]))] == [1, 2, 3]


def test_a_path_that_grew_towards_a_silent_target() -> None:
    lost = {TARGET: LOST, 1: (2, 1.0, Kind.EXCEEDED), 2: LOST, 3: (4, 3.0, Kind.EXCEEDED), 4: LOST}
    path = hops(path_run([round_(), lost]))
    assert [hop.number for hop in path] == [1, 2, 3, 4]
    assert path[-1].target


def test_a_silent_target_stands_behind_the_last_router() -> None:
    one = {TARGET: LOST, 1: (2, 1.0, Kind.EXCEEDED), 2: LOST, 3: LOST}
    path = hops(path_run([one, one]))
    assert [(hop.number, hop.addresses) for hop in path] == [(1, ((R1, 2),)), (2, ())]
    assert path[-1].figures.loss == 1.0


def test_who_answers_in_the_targets_place_is_marked_and_counts_as_loss() -> None:
    no_way = (3, 2.0, Kind.UNREACHABLE)
    run = path_run([{TARGET: no_way, 1: (2, 1.0, Kind.EXCEEDED), 2: no_way, 3: no_way, 4: no_way}])
    run.rows["code"][run.rows["kind"] == Kind.UNREACHABLE] = 1
    first, second, target = hops(run)
    assert (first.addresses, second.addresses) == (((R1, 1),), ((R2, 1),))
    assert (target.number, target.addresses) == (3, ())
    assert (target.marks, target.figures.lost) == (("!H",), 1)
    looped = {TARGET: (2, 1.0, Kind.EXCEEDED)}
    assert hops(path_run([looped]))[-1].marks == ("loop",)


def test_more_addresses_than_are_kept_still_count() -> None:
    run = path_run([round_(), round_()])
    run.rows["host"][run.rows["ttl"] == 1] = MANY
    assert hops(run)[0].addresses == ()
    assert hops(run)[0].figures.lost == 0


def test_the_report_is_mtrs_to_the_column() -> None:
    """Beside it stands what mtr 0.95 printed of such a path (`mtr -n -r`)."""
    run = path_run([round_(), round_(second=LOST), round_(second=(4, 2.0, Kind.EXCEEDED))])
    assert report(run, "2026-11-25T17:25:10+0000") == (
        "Start: 2026-11-25T17:25:10+0000\n"
        "HOST: busan                       Loss%   Snt   Last   Avg  Best  Wrst StDev\n"
        "  1.|-- 203.0.113.1                0.0%     3    1.0   1.0   1.0   1.0   0.0\n"
        "  2.|-- 203.0.113.3               33.3%     3    2.0   2.0   2.0   2.0   0.0\n"
        "    |  `|-- 203.0.113.2\n"
        "  3.|-- 198.51.100.9               0.0%     3    9.0   9.0   9.0   9.0   0.0\n"
    )


def test_the_report_says_what_is_unknown_as_mtr_does() -> None:
    line = report(kept([None] * 10), "x").splitlines()[-1]
    assert line == "  1.|-- ???                       100.0    10    0.0   0.0   0.0   0.0   0.0"


def test_numbers_are_not_cut() -> None:
    """mtr 0.95 cuts a sixth digit of Snt off: 172,800 probes, 48 h of them, are told as 17280."""
    run = drawn(172_800, 1)
    assert report(run, "x").splitlines()[-1].split()[2:4] == ["0.0%", "172800"]


def test_a_long_address_widens_the_report() -> None:
    run = kept([1.0])
    run.addresses.all[0] = ip_address("2001:db8:1111:2222:3333:4444:5555:6666")
    lines = report(run, "x").splitlines()
    assert lines[2].startswith("  1.|-- 2001:db8:1111:2222:3333:4444:5555:6666 ")
    assert lines[1].index("Loss%") + len("Loss%") == lines[2].index("0.0%") + len("0.0%")


def test_json_has_every_figure() -> None:
    found = run_dict(path_run([round_(), round_()]))
    assert [hop["hop"] for hop in found["hops"]] == [1, 2, 3]
    assert found["hops"][-1]["p95_ms"] == 9.0
    assert found["hops"][1]["addresses"] == {"203.0.113.2": 2}
    assert found["done"] == 2
