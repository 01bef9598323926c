"""A measurement over time: RTT and loss of each of a few hundred stretches, by numpy.

A chart shows no more points than it has pixels, so the work per probe is one sort.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import target_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Buckets:
    """Stretches of equal length. NaN where nothing was answered, or for loss where nothing was sent."""

    begin_s: Floats
    """Since the first probe."""
    span_s: float
    """From the first probe to the last."""
    p50_ms: Floats
    p95_ms: Floats
    max_ms: Floats
    loss: Floats
    """0 to 1."""


def buckets(run: Run, number: int, span_s: float | None = None) -> Buckets:
    """The probes to the target in `number` stretches of `span_s`; without it, of the whole run.

    ValueError if there is none whose fate is known.
    """
    rows, answered = target_rows(run)
    if not len(rows):
        raise ValueError(f"{run.head.title} has no probe whose fate is known")
    since = (rows["sent_ns"] - rows["sent_ns"].min()) / 1e9
    own = float(since.max())
    span = max(own if span_s is None else span_s, 1e-9)
    place = np.minimum((since / span * number).astype(np.int64), number - 1)
    sent = np.bincount(place, minlength=number)
    got = np.bincount(place[answered], minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        loss = np.where(sent > 0, 1 - got / np.maximum(sent, 1), np.nan)
    rtt = rows["rtt_ns"][answered] / 1e6
    # Sorted by stretch, and by RTT within each: every quantile is then an index.
    rtt = rtt[np.lexsort((rtt, place[answered]))]
    begins = np.concatenate(([0], np.cumsum(got)[:-1]))
    return Buckets(
        begin_s=np.arange(number) * span / number,
        span_s=own,
        p50_ms=_quantile(rtt, begins, got, 0.5),
        p95_ms=_quantile(rtt, begins, got, 0.95),
        max_ms=_quantile(rtt, begins, got, 1.0),
        loss=loss,
    )


def _quantile(
    rtt: Floats, begins: NDArray[np.int64], got: NDArray[np.int64], quantile: float
) -> Floats:
    """The nearest-rank quantile of each stretch."""
    found = np.full(len(got), np.nan)
    some = got > 0
    rank = np.ceil(quantile * got[some]).astype(np.int64) - 1
    found[some] = rtt[begins[some] + np.maximum(rank, 0)]
    return found
