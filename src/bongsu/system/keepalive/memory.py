"""The memory that keepalive sessions live in: the data plane's where there is one, else our own."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf import layout

PRIVATE_SLOTS = 4096


@dataclass(frozen=True)
class Memory:
    """`records` (layout.KEEPALIVE) and `states` (layout.STATE), both by slot and live."""

    records: npt.NDArray[Any]
    states: npt.NDArray[Any] | None = None
    """None: nobody carries data by it."""
    notices: int = -1
    """Descriptor of the ring buffer by which the kernel wakes the thread, -1 without one."""
    notices_size: int = 0

    def let_go(self, besides: Container[int]) -> None:
        """Data is carried again in every slot but these: an engine may have ended with a line down,
        and with its session gone nobody else would ever lift that.
        """
        if self.states is None:
            return
        for slot in np.flatnonzero(self.states["keepalive_down"]).tolist():
            if slot not in besides:
                self.states["keepalive_down"][slot] = 0

    @classmethod
    def private(cls, slots: int = PRIVATE_SLOTS) -> Self:
        """Where no BPF may run: every session reads its replies by socket."""
        return cls(np.zeros(slots, layout.KEEPALIVE))
