"""The cache's memory and the two tables behind it, read so that nothing is lost or doubled.

A flow's total is what has been taken from the tables (`spilled`) and what is in the cache (`live`).
The tables change places before one is emptied, and the kernel waits with that until no program is
left that writes it. What moves from cache to table while a reading goes on may be in neither of its
halves, and is then in the next reading: late by one, never lost and never twice.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf.maps import Map
from bongsu.system.flow import layout

TRIES = 1000
"""How often a place is read that changes hands meanwhile: it takes less than a microsecond."""


@dataclass(frozen=True)
class Reading:
    """Two arrays (layout.FLOW): amounts since the last reading, and totals that go on growing.

    A flow may be in both, and in each once for every processor.
    """

    spilled: npt.NDArray[Any]
    live: npt.NDArray[Any]


class Cache:
    """All processors' parts. `sets` are those of one."""

    def __init__(self, maps: dict[str, Map]) -> None:
        self._slots = maps["flow_cache"].shared(layout.SET).view(layout.SLOT)
        self._owners = maps["flow_owners"].shared(layout.OWNERS).view(layout.OWNER)
        self._stats = maps["flow_stats"].shared(layout.STATS)
        self._outer = maps["flow_spill"]
        self._tables = [maps["flow_table_a"], maps["flow_table_b"]]
        self._written = 0
        self._spilled = 0

    def read(self) -> Reading:
        """What there is now."""
        return Reading(self._take_spilled(), self._read_live())

    def stats(self) -> dict[str, int]:
        """The sums over all processors, by the names of layout.STATS."""
        names = layout.STATS.names or ()
        return {name: int(self._stats[name].sum()) for name in names}

    def close(self) -> None:
        """Lets the memory go."""
        self._slots, self._owners = self._slots[:0].copy(), self._owners[:0].copy()
        self._stats = self._stats[:0].copy()

    def _take_spilled(self) -> npt.NDArray[Any]:
        now = int(self._stats["spilled"].sum())
        if now == self._spilled:
            return np.empty(0, layout.FLOW)
        self._spilled = now
        table = self._tables[self._written]
        self._written ^= 1
        self._outer.update(bytes(4), self._tables[self._written].fd.to_bytes(4, "little"))
        keys, records = table.batch(layout.SPILLED, layout.RECORD)
        table.delete_many(keys)
        flows = np.zeros(len(keys), layout.FLOW)
        for name in layout.KEY.names or ():
            flows[name] = keys["key"][name]
        for name in layout.RECORD.names or ():
            flows[name] = records[name]
        return flows

    def _read_live(self) -> npt.NDArray[Any]:
        where = np.flatnonzero(self._slots["seq"])
        parts = []
        for _ in range(TRIES):
            before = self._slots["seq"][where]
            flows = _flows(self._slots[where], self._owners[where], time.monotonic_ns())
            steady = (before == self._slots["seq"][where]) & (before & 1 == 0)
            parts.append(flows[steady])
            where = where[~steady]
            if not len(where):
                break
        whole = np.empty(sum(map(len, parts)), layout.FLOW)
        at = 0
        for part in parts:  # np.concatenate would turn network order round
            whole[at : at + len(part)] = part
            at += len(part)
        return whole


def _flows(slots: npt.NDArray[Any], owners: npt.NDArray[Any], now: int) -> npt.NDArray[Any]:
    flows = np.zeros(len(slots), layout.FLOW)
    for name in layout.KEY.names or ():
        flows[name] = owners["key"][name]
    for name in ("packets", "bytes", "tcp_flags", "flags"):
        flows[name] = slots[name]
    for name in ("first", "rtt_us"):
        flows[name] = owners[name]
    # ticks of 32 bits, none of them later than now
    tick = np.uint64(now >> layout.TICK)
    ago = (np.uint32(int(tick) & 0xFFFFFFFF) - slots["last"]).astype(np.uint64)
    flows["last"] = np.maximum((tick - ago) << np.uint64(layout.TICK), flows["first"])
    return flows
