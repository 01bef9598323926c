"""What the data plane has to know of a tunnel's keepalives to tell them from data and send them back."""

from typing import Any

import numpy as np

from bongsu.model.tunnel import Keepalive
from bongsu.plan.reflection import reflects
from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout

GENEROUS = 4
"""Times the peer's planned rate: it may send in bursts, and be set up anew at any time."""
SLOWEST_NS = 100_000_000
"""Between two that are sent back, whatever the peer is planned to send: ten a second."""


def describe(record: Any, plan: TunnelPlan) -> None:
    """Fills in the fields of layout.TUNNEL that are about keepalives."""
    if not reflects(plan):
        record["flags"] |= layout.KEEPS
    record["dialect"] = _dialect(plan.keepalive)
    record["peer_dialect"] = _dialect(plan.peer_keepalive)
    gap = SLOWEST_NS
    if plan.peer_keepalive is not None:
        gap = min(gap, plan.peer_keepalive.interval_ns // GENEROUS)
    record["reflect_gap"] = gap // layout.GAP_NS
    if (inside := plan.inside4()) is not None:
        own, peer = inside
        record["inside_local"] = np.void(own.packed)
        record["inside_remote"] = np.void(peer.packed)


def _dialect(keepalive: Keepalive | None) -> int:
    return layout.DIALECTS.get(keepalive.dialect.value, 0) if keepalive else 0
