"""Sums over flows: by any of their fields, and the largest of them."""

from typing import Any

import numpy as np

from bongsu.protocol.flow.records import Rows, grouped, key_of


def by(flows: Rows, *fields: str) -> Rows:
    """One row for each combination of these fields: they, `flows`, `packets` and `bytes`."""
    groups = grouped(key_of(flows, *fields))
    kinds: list[Any] = [(name, flows.dtype[name]) for name in fields]
    counts = [("flows", "u8"), ("packets", "u8"), ("bytes", "u8")]
    made = np.zeros(len(groups.starts), kinds + counts)
    for name in fields:
        made[name] = groups.first(flows[name])
    made["flows"] = np.diff(np.append(groups.starts, len(flows)))
    made["packets"], made["bytes"] = groups.total(flows["packets"]), groups.total(flows["bytes"])
    return made


def top(rows: Rows, count: int, field: str = "bytes") -> Rows:
    """The `count` rows that have most of `field`, most first."""
    if count < len(rows):
        rows = rows[np.argpartition(rows[field], len(rows) - count)[len(rows) - count :]]
    return rows[np.argsort(rows[field], kind="stable")[::-1]][:count]
