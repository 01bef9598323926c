"""A number for each IPsec tunnel of a node: its ports and table where ESP is in user space, BIRD's switch.

Ports and a routing table are read once, when a tunnel's daemon starts. So a tunnel keeps its number,
whatever becomes of the others: it is made of the name, and only of two names that fall on one number does
the second, by the alphabet, take the next that is free.
"""

import hashlib
from collections.abc import Iterable

from bongsu.plan.vpn import VpnTunnelPlan

SLOTS = 4000
"""16 tunnels of a connection are all apart with 97 %."""
IKE_PORTS, NAT_PORTS = 16000, 20000
"""The first of SLOTS each: below what kernels take for outgoing connections, above known services."""
TABLES = 16000
"""Routing tables, the first of SLOTS."""


def slots(tunnels: Iterable[VpnTunnelPlan]) -> dict[str, int]:
    """By tunnel, its number: from 0, below SLOTS. ValueError for more tunnels than there are."""
    names = sorted({tunnel.name for tunnel in tunnels})
    if len(names) > SLOTS:
        raise ValueError(f"{len(names)} IPsec tunnels on one node: {SLOTS} is the most")
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name in names:
        slot = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % SLOTS
        while slot in taken:
            slot = (slot + 1) % SLOTS
        found[name] = slot
        taken.add(slot)
    return found
