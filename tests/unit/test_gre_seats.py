"""Who judges a keepalive's answer: tables without a kernel."""

from typing import Any

import numpy as np
import pytest

from bongsu.system.bpf import layout
from bongsu.system.gre.plane import Plane, _Seen

ETHERNET, MORE, POINT_TO_POINT = 2, 3, 4


def tunnel(underlay: int, flags: int = 0) -> Any:
    record: Any = np.zeros((), layout.TUNNEL)
    record["name"], record["slot"], record["underlay"], record["flags"] = b"t", 1, underlay, flags
    return record


@pytest.mark.parametrize(
    ("underlay", "arrivals", "judged"),
    [
        (ETHERNET, [], True),
        (POINT_TO_POINT, [], False),
        (ETHERNET, [MORE], True),
        (ETHERNET, [POINT_TO_POINT], False),
        (POINT_TO_POINT, [ETHERNET], False),
    ],
)
def test_answers_are_judged_where_all_of_them_are_seen(
    monkeypatch: pytest.MonkeyPatch, underlay: int, arrivals: list[int], judged: bool
) -> None:
    """A PPP has no program of ours: an answer that comes by it would be seen by nobody."""
    plane = Plane.__new__(Plane)
    plane.states = np.zeros(2, layout.STATE)
    plane._seen = _Seen(0)
    plane._seen.add(tunnel(underlay, layout.KEEPALIVE_ONLY), frozenset(arrivals))
    monkeypatch.setattr(plane, "_sees", lambda index: index != POINT_TO_POINT)
    seat = plane.seats(driver=True)["t"]
    assert (seat.slot, seat.up, seat.judged) == (1, True, judged)
