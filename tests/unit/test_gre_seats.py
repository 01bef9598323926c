"""Who judges a keepalive's answer, and what is told of one that was dropped: tables without a kernel."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bongsu.system.bpf import layout
from bongsu.system.gre.base import TunnelCounters
from bongsu.system.gre.kernel import KernelBackend
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


def test_what_our_program_drops_is_told_beside_what_the_driver_does() -> None:
    backend: Any = KernelBackend.__new__(KernelBackend)
    ours = {"rx_line_down": 1, "rx_rate": 2, "rx_ttl": 3, "tx_no_route": 4}
    stats = defaultdict(int, rx_packets=5, tx_carrier_errors=6)
    message = SimpleNamespace(get_attr=lambda _: stats)
    backend._plane = SimpleNamespace(counters=lambda _: TunnelCounters(drops=ours))
    backend._ipr = SimpleNamespace(link=lambda *_, **__: [message])
    counted = backend._counted(tunnel(ETHERNET))
    assert counted.drops == ours | {"tx_no_route": 10}
    assert counted.rx_packets == 5
