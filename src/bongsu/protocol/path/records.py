"""What is kept of every probe: one row of 32 bytes in a numpy array, and the addresses it names.

Rows are in the order in which the probes' fates were decided. Times are wall clock of the measurement's
beginning plus what a monotonic clock says has passed: a clock that is set meanwhile moves nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bongsu.model.base import Address
from bongsu.protocol.path.machine import Outcome

ROW = np.dtype(
    [
        ("sent_ns", "<i8"),
        ("rtt_ns", "<i8"),
        ("sequence", "<u8"),
        ("host", "<u2"),
        ("ttl", "u1"),
        ("kind", "u1"),
        ("code", "u1"),
        ("spare", "V3"),
    ]
)
"""sent_ns: Unix time. rtt_ns: -1 if lost. host: place in the addresses plus 1; 0 is nobody."""

Rows = NDArray[Any]
"""An array of ROW."""

MANY = 0xFFFF
"""The place of every address beyond the 65,534th: so many routers answer only one who is attacked."""

_FIRST_ROOM = 4096


class Addresses:
    """Every address that answered, in the order of appearance."""

    def __init__(self, known: Iterable[Address] = ()) -> None:
        self.all: list[Address] = list(known)
        self._place = {address: place for place, address in enumerate(self.all, 1)}

    def place(self, address: Address | None) -> int:
        """Where it stands, from 1; it is added if it is new. 0 for nobody, MANY if there is no room."""
        if address is None:
            return 0
        place = self._place.get(address)
        if place is None:
            if len(self.all) >= MANY - 1:
                return MANY
            self.all.append(address)
            place = self._place[address] = len(self.all)
        return place


class Table:
    """Rows that grow, in memory: amortised, so that a run of days appends as fast as one of seconds."""

    def __init__(self, rows: Rows | None = None) -> None:
        self._room = np.zeros(_FIRST_ROOM, ROW) if rows is None else rows.copy()
        self._used = 0 if rows is None else len(rows)

    @property
    def rows(self) -> Rows:
        """Those there are. A view: it keeps what it shows when the table grows."""
        return self._room[: self._used]

    def append(self, rows: Rows) -> None:
        """More of them."""
        needed = self._used + len(rows)
        if needed > len(self._room):
            room = np.zeros(max(needed, 2 * len(self._room), _FIRST_ROOM), ROW)
            room[: self._used] = self._room[: self._used]
            self._room = room
        self._room[self._used : needed] = rows
        self._used = needed


def rows_of(outcomes: Sequence[Outcome], addresses: Addresses, epoch_ns: int) -> Rows:
    """Outcomes as rows; `epoch_ns` is the Unix time at which the monotonic clock would have been 0."""
    rows = np.zeros(len(outcomes), ROW)
    for place, each in enumerate(outcomes):
        rows[place] = (
            each.sent_ns + epoch_ns,
            each.rtt_ns,
            each.sequence,
            addresses.place(each.sender),
            each.ttl,
            int(each.kind),
            each.code,
            b"",
        )
    return rows
