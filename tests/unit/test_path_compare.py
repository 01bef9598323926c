"""Two runs compared: what differs is found, what does not is not, and bursts do not deceive."""

import random
import time

import pytest

from bongsu.protocol.path.compare import compare
from bongsu.protocol.path.verdict import comparison_dict, sentences
from tests.unit.path_runs import drawn, kept


def test_the_documents_case() -> None:
    """17,280 probes each: half of them lost on one way, none on the other, at half the delay."""
    found = compare(drawn(17_280, 1, base=90, loss=0.49), drawn(17_280, 2, base=42))
    assert found.verdict == "better"
    assert found.loss.high < -0.47
    assert found.p50_ms is not None
    assert found.p50_ms.high < -47
    headline, loss, median = sentences(found, "direct", "accelerated")
    assert headline == "accelerated is better than direct"
    assert loss.startswith("loss: accelerated loses 4")
    assert "points less, 0.00 % in place of 4" in loss
    assert "48.00 ms lower" in median or "47.9" in median or "48.0" in median


def test_the_same_path_twice_is_no_difference() -> None:
    alarms = 0
    for seed in range(40):
        found = compare(drawn(600, seed, loss=0.1), drawn(600, seed + 1000, loss=0.1))
        alarms += found.verdict != "no difference"
    # each of two intervals fails to hold the truth once in twenty
    assert alarms <= 10


def test_bursts_are_not_taken_for_many_observations() -> None:
    """Gilbert-Elliott loss: a test of single probes would see differences everywhere."""

    def bursty(seed: int) -> list[float | None]:
        source, bad, series = random.Random(seed), False, []
        for _ in range(3000):
            bad = source.random() < (0.9 if bad else 0.005)
            series.append(None if bad else 50.0)
        return series

    alarms = sum(
        not compare(kept(bursty(seed)), kept(bursty(seed + 500))).loss.none for seed in range(40)
    )
    assert alarms <= 8


def test_a_small_real_difference_is_found() -> None:
    found = compare(drawn(5000, 1, base=50), drawn(5000, 2, base=50.5))
    assert found.p50_ms is not None
    assert found.p50_ms.word == "worse"
    assert found.loss.none
    assert found.verdict == "worse"
    assert "loss: no difference" in sentences(found, "a", "b")[1]


def test_better_in_one_way_and_worse_in_another() -> None:
    found = compare(drawn(2000, 1, base=40, loss=0.2), drawn(2000, 2, base=80))
    assert found.verdict == "mixed"


def test_a_few_probes_prove_little() -> None:
    found = compare(kept([10.0, 11, 10, 12] * 3), kept([10.0, None, 10, 12] + [11, 10, 10, 12] * 2))
    assert found.verdict == "no difference"


def test_a_path_that_answers_nothing_has_no_median() -> None:
    found = compare(kept([10.0] * 50), kept([None] * 50))
    assert found.p50_ms is None
    assert found.verdict == "worse"
    assert "b answered nothing" in sentences(found, "a", "b")[2]


def test_without_a_decided_probe_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="no probe"):
        compare(kept([]), kept([1.0]))


def test_the_same_runs_give_the_same_verdict() -> None:
    a, b = drawn(500, 1), drawn(500, 2)
    assert compare(a, b) == compare(a, b)


def test_what_stands_in_json() -> None:
    found = comparison_dict(compare(drawn(500, 1, loss=0.3), drawn(500, 2)), "one", "two")
    assert found["verdict"] == "better"
    assert found["differences"]["loss"]["high"] < 0
    assert found["differences"]["loss"]["verdict"] == "better"
    assert found["a"]["name"] == "one"


def test_days_are_compared_in_a_moment() -> None:
    a, b = drawn(172_800, 1, loss=0.4), drawn(172_800, 2)
    began = time.perf_counter()
    compare(a, b)
    assert time.perf_counter() - began < 10
