"""What a measurement says: a row for each hop, in the terms of `mtr --report`, and more.

Loss%, Snt, Last, Avg, Best, Wrst and StDev are mtr's: the share of decided probes without an answer,
and the deviation of a sample (n - 1), 0 for a single answer. Percentiles interpolate between
neighbours (Hyndman and Fan's type 7). Jitter is RFC 3550's, with the RTT for the transit time, over
answered probes in the order of sending: `jitter` the mean |D| of the whole run, `jint` the running
estimate J = J + (|D| - J)/16 (A.8) as it stands at the end, which remembers only the last moments.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bongsu.model.base import Address
from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import TARGET
from bongsu.protocol.path.records import MANY, Rows
from bongsu.protocol.path.run import Run

Floats = NDArray[np.float64]

JINT_MEMORY = 4096
"""Samples that J is made of: what an older one adds is below what a float can tell."""
REASONS = {
    (4, 0): "!N",
    (4, 1): "!H",
    (4, 2): "!P",
    (4, 4): "!F",
    (4, 9): "!X",
    (4, 10): "!X",
    (4, 13): "!X",
    (6, 0): "!N",
    (6, 1): "!X",
    (6, 2): "!S",
    (6, 3): "!H",
    (6, 5): "!X",
    (6, 6): "!X",
    (6, 200): "!F",
}
"""Family and code of an `unreachable`, in traceroute's marks."""


@dataclass(frozen=True)
class Figures:
    """A series of probes. Milliseconds; None where nothing was answered (jitter: fewer than two)."""

    sent: int
    """Those whose fate is known."""
    lost: int
    last_ms: float | None
    avg_ms: float | None
    best_ms: float | None
    worst_ms: float | None
    stdev_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    jitter_ms: float | None
    jint_ms: float | None

    @property
    def loss(self) -> float:
        """Share without an answer, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0


@dataclass(frozen=True)
class Hop:
    """A place on the path."""

    number: int
    addresses: tuple[tuple[Address, int], ...]
    """Who answered and how often, the latest first: more than one where the path changes."""
    figures: Figures
    target: bool
    marks: tuple[str, ...] = ()
    """What answered in place of the target: traceroute's marks, `loop` for a hop limit used up."""


def figures(rows: Rows, answered: NDArray[np.bool_] | None = None) -> Figures:
    """The figures of rows in the order of sending; `answered` tells which count as answered."""
    if answered is None:
        answered = rows["kind"] != Kind.LOST
    rtt: Floats = rows["rtt_ns"][answered] / 1e6
    sent, got = len(rows), len(rtt)
    if not got:
        return Figures(sent, sent, *[None] * 10)
    p50, p95, p99 = (float(value) for value in np.percentile(rtt, (50, 95, 99)))
    steps = np.abs(np.diff(rtt))
    return Figures(
        sent,
        sent - got,
        float(rtt[-1]),
        float(rtt.mean()),
        float(rtt.min()),
        float(rtt.max()),
        float(rtt.std(ddof=1)) if got > 1 else 0.0,
        p50,
        p95,
        p99,
        float(steps.mean()) if got > 1 else None,
        _jint(steps) if got > 1 else None,
    )


def _jint(steps: Floats) -> float:
    """RFC 3550's running estimate after the last step, by its weights rather than by a loop."""
    recent = steps[-JINT_MEMORY:][::-1]
    return float(recent @ np.power(15 / 16, np.arange(len(recent))) / 16)


def target_rows(run: Run) -> tuple[Rows, NDArray[np.bool_]]:
    """The probes to the target, in the order of sending, and which it answered."""
    rows = run.rows[run.rows["ttl"] == TARGET]
    rows = rows[np.argsort(rows["sequence"])]
    return rows, rows["kind"] == Kind.REPLY


def target_figures(run: Run) -> Figures:
    """The figures of the path as a whole."""
    return figures(*target_rows(run))


def hops(run: Run) -> list[Hop]:
    """The path, hop by hop; the target is the last."""
    everything = run.rows
    limited = everything[everything["ttl"] != TARGET]
    limited = limited[np.argsort(limited["sequence"])]
    distance, heard = _distance(limited)
    found = []
    for number in range(1, distance):
        rows = limited[limited["ttl"] == number]
        if len(rows) or number <= heard:
            found.append(Hop(number, _who(rows, run), figures(rows), target=False))
    rows, answered = target_rows(run)
    who = _who(rows[answered], run)
    marks = _marks(rows[~answered], run.target.version)
    found.append(Hop(distance, who, figures(rows, answered), True, marks))
    return found


def _distance(limited: Rows) -> tuple[int, int]:
    """Hops to the target as the newest round saw it, and the last that answered.

    Where the target answers none of them, it stands behind the last router that answered.
    """
    replies = limited[limited["kind"] == Kind.REPLY]
    routers = limited[limited["kind"] == Kind.EXCEEDED]
    heard = int(routers["ttl"].max()) if len(routers) else 0
    # who says that it goes no further is asked first by the lowest hop limit that reaches it
    refused = limited["ttl"][limited["kind"] == Kind.UNREACHABLE]
    heard = max(heard, int(refused.min()) if len(refused) else 0)
    if not len(replies):
        return heard + 1, heard
    # Of the newest round that reached it: its probes have ascending numbers, up to the last reply.
    last = replies[-1]
    begin = limited["sequence"][(limited["ttl"] == 1) & (limited["sequence"] <= last["sequence"])]
    first = begin[-1] if len(begin) else 0
    distance = int(replies["ttl"][replies["sequence"] >= first].min())
    newer = routers[routers["sequence"] > last["sequence"]]
    beyond = newer["ttl"][newer["ttl"] >= distance]
    # Since then a router has answered where the target stood: it is further away now.
    return (int(beyond.max()) + 1, heard) if len(beyond) else (distance, heard)


def _who(rows: Rows, run: Run) -> tuple[tuple[Address, int], ...]:
    hosts = rows["host"][(rows["host"] != 0) & (rows["host"] != MANY)]
    if not len(hosts):
        return ()
    counts = np.bincount(hosts)
    latest_first = dict.fromkeys(hosts[::-1].tolist())
    return tuple((run.addresses.all[host - 1], int(counts[host])) for host in latest_first)


def _marks(rows: Rows, family: int) -> tuple[str, ...]:
    marks = {
        REASONS.get((family, int(code)), f"!{code}")
        for code in np.unique(rows["code"][rows["kind"] == Kind.UNREACHABLE])
    }
    if (rows["kind"] == Kind.EXCEEDED).any():
        marks.add("loop")
    return tuple(sorted(marks))
