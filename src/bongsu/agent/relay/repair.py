"""The repair engine beside the data plane: started where some listener asks for it, fed with paths.

What is repaired is led to the engine's device by the plane, and comes back from it. The engine ends
with the agent, however that ends; its packets then take the ordinary way. A listener's mode is its
accelerator's: the engine knows no ports, and of several that ask for repair the first one's is used.

A third PoP carries repaired packets as any others, by an engine of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, RelayPlan
from bongsu.system.relay import RelayBackend
from bongsu.system.repair.engine import Repair, RepairEngine
from bongsu.system.repair.library import KINDS, MODES

AGAIN_TURNS = 5
"""An engine that failed is begun anew after so many turns."""


@dataclass(frozen=True)
class Hops:
    """The way to a PoP, and another one for what is sent twice; numbers of nodes."""

    first: int
    second: int | None = None


class Repairing:
    """One node's engine, or none. Every method blocks: the agent's worker thread calls it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._plan: RelayPlan | None = None
        self._secret: bytes | None = None
        self._hops: dict[int, Hops] = {}
        self._wait = 0
        self.engine: RepairEngine | None = None

    def follow(self, plan: RelayPlan, secret: bytes | None, plane: RelayBackend) -> None:
        """An engine if the plan asks for one. OSError; without it the ordinary way is taken."""
        same = self._plan is not None and (self._plan.number, self._plan.port) == (
            plan.number,
            plan.port,
        )
        if not (plan.repairs and plan.peers) or not same or self._secret != secret:
            self.close(plane)
        first = self._plan is None
        self._plan, self._secret = plan, secret
        if not (plan.repairs and plan.peers):
            if first:
                # An earlier agent, killed, left the plane with a device that is no more.
                plane.set_repair(None)
            return
        if self.engine is None:
            self.engine = RepairEngine.start(plan, secret, self._state_dir)
        else:
            self.engine.apply(plan)
        for each in plan.accelerators:
            for direction in KINDS:
                self.engine.set_mode(each.number, direction, mode_of(each))
        self._hops = {}
        plane.set_repair(self.engine.ifindex)

    def turn(self, hops: Mapping[int, Hops], plane: RelayBackend) -> None:
        """Bring the engine to the latest paths; begin one that failed anew. OSError says why."""
        if self.engine is None:
            self._begin_again(plane)
            return
        if failure := self.engine.failure:
            self.close(plane)
            self._wait = AGAIN_TURNS
            raise OSError(f"the engine stopped: {failure}")
        addresses = {peer.number: peer.remote for peer in self._plan.peers} if self._plan else {}
        for destination, wanted in hops.items():
            if destination not in addresses or self._hops.get(destination) == wanted:
                continue
            found = _addresses(wanted, addresses)
            if found:
                self.engine.set_paths(destination, found)
                self._hops[destination] = wanted

    def close(self, plane: RelayBackend | None) -> None:
        """End it; the plane leads nothing to it any more."""
        if self.engine is None:
            return
        try:
            if plane is not None:
                plane.set_repair(None)
        finally:
            self.engine.close()
            self.engine = None

    def counters(self) -> dict[str, Any] | None:
        """The engine's figures as JSON; None without one."""
        if self.engine is None:
            return None
        counted = self.engine.counters()
        return {
            "engine": counted.engine,
            "alive": {str(number): alive for number, alive in counted.alive.items()},
            "sent": [_row(row) for row in counted.sent],
            "received": [_row(row) for row in counted.received],
        }

    def _begin_again(self, plane: RelayBackend) -> None:
        if self._plan is None or not (self._plan.repairs and self._plan.peers):
            return
        if self._wait:
            self._wait -= 1
            return
        self._wait = AGAIN_TURNS
        self.follow(self._plan, self._secret, plane)


def mode_of(accelerator: AcceleratorPlan) -> Repair | None:
    """How an accelerator is repaired."""
    return next((each.repair for each in accelerator.listeners if each.repair is not None), None)


def _addresses(hops: Hops, addresses: Mapping[int, Address]) -> list[Address]:
    """Of the next hops; the second only if it is of the first's family."""
    first = addresses.get(hops.first)
    if first is None:
        return []
    second = None if hops.second is None else addresses.get(hops.second)
    return [first] if second is None or second.version != first.version else [first, second]


def _row(row: np.void) -> dict[str, Any]:
    names = row.dtype.names or ()
    found = {name: row[name].tolist() for name in names if name != "unused"}
    kinds = {number: name for name, number in KINDS.items()}
    found["kind"] = kinds.get(found["kind"], found["kind"])
    if "mode" in found:
        modes = {number: name for name, number in MODES.items()}
        found["mode"] = modes.get(found["mode"], found["mode"])
    return found
