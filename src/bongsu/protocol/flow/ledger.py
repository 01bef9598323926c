"""What has been told of each flow, so that the changes add up to exactly what was counted.

The data plane is read in two halves: amounts that left its cache, each given once, and totals that
still grow there. A flow that moved from the one to the other in the middle of a reading is in
neither and comes with the next; what was told of it stays told, so it is not told again.
"""

from typing import Final

import numpy as np

from bongsu.protocol.flow.records import FLOW, Rows, grouped, joined, key_of, merge

IDLE_NS: Final = 60 * 10**9
"""A flow that is in the cache no longer is forgotten when it has been silent for so long."""


class Ledger:
    """Of one node. `flows` are the flows that are known, with all that was ever counted of them."""

    def __init__(self, idle_ns: int = IDLE_NS) -> None:
        self._idle = np.uint64(idle_ns)
        self.flows = np.empty(0, FLOW)
        self._left = np.empty((0, 2), np.uint64)
        self._told = np.empty((0, 2), np.uint64)

    def take(self, spilled: Rows, live: Rows, now: int) -> Rows:
        """The flows that have changed, with what is new of them as packets and bytes.

        `now`: the node's monotonic time, in ns.
        """
        sizes = len(self.flows), len(spilled), len(live)
        rows = joined(FLOW, self.flows, spilled, live)
        groups = grouped(key_of(rows))
        known, gone, there = (np.repeat(np.arange(3) == part, sizes) for part in range(3))
        amounts = np.stack([rows["packets"], rows["bytes"]], axis=1)
        left, told = np.zeros_like(amounts), np.zeros_like(amounts)
        left[known], told[known] = self._left, self._told
        left[gone] = amounts[gone]
        amounts[~there] = 0
        self._left, told = groups.total(left), groups.total(told)
        total = self._left + groups.total(amounts)
        flows = merge(rows)
        flows["packets"], flows["bytes"] = total[:, 0], total[:, 1]
        self._told = np.maximum(told, total)
        fresh = self._told - told
        changed = fresh.any(axis=1)
        changes: Rows = flows[changed].copy()
        changes["packets"], changes["bytes"] = fresh[changed, 0], fresh[changed, 1]
        stays = groups.any_bit(there) | (flows["last"] + self._idle > np.uint64(now))
        self.flows = flows[stays]
        self._left, self._told = self._left[stays], self._told[stays]
        return changes
