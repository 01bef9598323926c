"""Two measurements side by side: is one better, and how sure is that?

Differences are b minus a, with a 95 % interval by a block bootstrap (Künsch 1989): losses and delays
come in bursts, and resampling single probes would take a burst for many independent observations. A
series is cut into about sqrt(n) blocks, never fewer than 30 where it has as many probes; blocks are
drawn again and again, and each draw is judged as the whole was. For quantiles a block is a histogram
over up to 1,024 values of its own series, so a run of days costs what one of minutes does. Where the
interval holds 0 there is no difference to be told.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import Figures, figures, target_rows

DRAWS = 2000
BLOCKS_MIN = 30
VALUES_MAX = 1024
LEVEL = 95
SEED = 20260117
"""The same runs give the same verdict."""
QUANTILES = (0.5, 0.95, 0.99)

Floats = NDArray[np.float64]
Word = Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Difference:
    """b minus a, and between what bounds it lies."""

    value: float
    low: float
    high: float

    @property
    def none(self) -> bool:
        """Whether it may as well be 0."""
        return self.low <= 0 <= self.high

    @property
    def word(self) -> Word:
        """What b is; less is better."""
        if self.none:
            return "no difference"
        return "better" if self.value < 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """What two measurements say of each other. Loss in 0 to 1; None where one answered nothing."""

    a: Figures
    b: Figures
    loss: Difference
    p50_ms: Difference | None
    p95_ms: Difference | None
    p99_ms: Difference | None
    avg_ms: Difference | None

    @property
    def verdict(self) -> Word | Literal["mixed"]:
        """What b is, by its loss and its median."""
        found = {self.loss.word}
        if self.p50_ms is not None:
            found.add(self.p50_ms.word)
        found.discard("no difference")
        if len(found) > 1:
            return "mixed"
        return found.pop() if found else "no difference"


@dataclass(frozen=True)
class _Draws:
    """Figures of every draw: one column, or NaN where a draw holds no answer."""

    loss: Floats
    avg: Floats
    quantiles: Floats


def compare(a: Run, b: Run) -> Comparison:
    """The measurements compared: b against a. ValueError if one has not decided a probe."""
    shown: list[Figures] = []
    drawn: list[_Draws] = []
    random = np.random.default_rng(SEED)
    for run in (a, b):
        rows, answered = target_rows(run)
        if not len(rows):
            raise ValueError(f"{run.head.title} has no probe whose fate is known")
        shown.append(figures(rows, answered))
        drawn.append(_draw(rows["rtt_ns"] / 1e6, answered, random))
    first, second = shown
    one, two = drawn
    p50, p95, p99 = (
        _maybe(getattr(first, name), getattr(second, name), one.quantiles[at], two.quantiles[at])
        for at, name in enumerate(("p50_ms", "p95_ms", "p99_ms"))
    )
    return Comparison(
        first,
        second,
        loss=_difference(first.loss, second.loss, one.loss, two.loss),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        avg_ms=_maybe(first.avg_ms, second.avg_ms, one.avg, two.avg),
    )


def _maybe(a: float | None, b: float | None, one: Floats, two: Floats) -> Difference | None:
    return None if a is None or b is None else _difference(a, b, one, two)


def _difference(a: float, b: float, one: Floats, two: Floats) -> Difference:
    differences = two - one
    tail = (100 - LEVEL) / 2
    low, high = np.nanpercentile(differences, (tail, 100 - tail))
    return Difference(b - a, float(low), float(high))


def _draw(rtt_ms: Floats, answered: NDArray[np.bool_], random: np.random.Generator) -> _Draws:
    """The figures of DRAWS resamplings of a series in the order of sending."""
    number = len(rtt_ms)
    blocks = max(isqrt(number), min(number, BLOCKS_MIN))
    block = np.arange(number) * blocks // number
    sent = np.bincount(block, minlength=blocks)
    got = np.bincount(block[answered], minlength=blocks)
    sums = np.bincount(block[answered], rtt_ms[answered], minlength=blocks)
    # how often each block is in each draw
    weights = random.multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS).astype(np.float64)
    total = weights @ got
    with np.errstate(invalid="ignore", divide="ignore"):
        avg = weights @ sums / total
    loss = 1 - total / (weights @ sent)
    return _Draws(loss, avg, _quantiles(rtt_ms[answered], block[answered], weights, total))


def _quantiles(rtt: Floats, block: NDArray[np.int64], weights: Floats, total: Floats) -> Floats:
    found = np.full((len(QUANTILES), len(total)), np.nan)
    if not len(rtt):
        return found
    values = np.unique(rtt)
    if len(values) > VALUES_MAX:
        steps = np.linspace(0, 1, VALUES_MAX)
        values = np.unique(np.quantile(rtt, steps, method="inverted_cdf"))
    place = np.searchsorted(values, rtt)
    cells = weights.shape[1] * len(values)
    histograms = np.bincount(block * len(values) + place, minlength=cells)
    counts = weights @ histograms.reshape(weights.shape[1], len(values)).astype(np.float64)
    below = counts.cumsum(axis=1)
    some = total > 0
    for at, quantile in enumerate(QUANTILES):
        reached = below >= quantile * total[:, None] - 1e-9
        found[at, some] = values[reached.argmax(axis=1)][some]
    return found
