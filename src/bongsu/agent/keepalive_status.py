"""What a keepalive session's record says, in words and figures for people and programs."""

import os
import time
from typing import Any

import numpy as np

from bongsu.model.tunnel import Keepalive
from bongsu.system.bpf import layout
from bongsu.system.keepalive.engine import KeepaliveEngine


def describe(engine: KeepaliveEngine, slot: int, keepalive: Keepalive) -> dict[str, Any]:
    """Figures since the session began; `rtt_ms` is null before the first reply."""
    record = engine.records[slot].copy()
    now = time.monotonic_ns()
    sent, received = int(record["sent"]), int(record["received"])
    return {
        "line_protocol": "up" if record["line"] else "down",
        "since_s": round((now - int(record["changed_at"])) / 1e9, 3),
        "interval_ms": keepalive.interval_ns // 1_000_000,
        "retries": keepalive.retries,
        "up_after": keepalive.up_after,
        "dialect": keepalive.dialect.value,
        "nonce": keepalive.nonce,
        "counter": sent - int(record["answered"]),
        "sent": sent,
        "received": received,
        "lost": max(0, sent - received - _outstanding(record, keepalive, now)),
        "refused": _reasons(record["refused"]),
        "rtt_ms": _rtt(record, received),
        "send_errors": int(record["send_errors"]),
        "last_error": os.strerror(int(record["last_error"])) if record["last_error"] else "",
        "scheduler": engine.scheduler,
    }


def refusals(engine: KeepaliveEngine, slots: list[int]) -> dict[str, int]:
    """Packets that were no reply, by reason, of these sessions together."""
    return _reasons(engine.records["refused"][slots].sum(axis=0))


def _reasons(counts: Any) -> dict[str, int]:
    named = zip(layout.REFUSALS, counts, strict=True)
    return {why: int(count) for why, count in named if count}


def _outstanding(record: np.void, keepalive: Keepalive, now: int) -> int:
    """Requests that may still be answered: not older than an interval, or twice the slowest yet."""
    patience = max(keepalive.interval_ns, 2 * int(record["rtt_max"]))
    waiting = (record["tag"] & layout.KEEPALIVE_OUTSTANDING).astype(bool)
    return int(np.count_nonzero(waiting & (record["sent_at"] + patience > now)))


def _rtt(record: np.void, received: int) -> dict[str, float] | None:
    if not received:
        return None
    return {
        "last": int(record["rtt_last"]) / 1e6,
        "min": int(record["rtt_min"]) / 1e6,
        "avg": int(record["rtt_sum"]) / received / 1e6,
        "max": int(record["rtt_max"]) / 1e6,
    }
