"""Which of two tunnels without an interface is used, where ESP is in user space: rules, in order.

kernel-libipsec routes each selector into its own TUN device, in a table of the tunnel's own; with the same
selectors all tables have the same routes. The first rule whose table has one decides. A tunnel that is
down has no rule of ours, only charon's own, which is behind them all.
"""

from collections.abc import Iterable, Sequence

from bongsu.model.base import EVERYTHING
from bongsu.system.rules import Rule, set_rules

PROTOCOL = 104
"""By which these rules are known; the node's others have 103."""
FIRST = 220
"""Priority of the first: where charon has its own unless it is told otherwise."""


def lead(tables: Sequence[int], families: Iterable[int]) -> bool:
    """Have packets look into these tables first, in this order; False if it was so. NetlinkError."""
    wanted = [
        Rule(EVERYTHING[family], FIRST + place, table)
        for family in families
        for place, table in enumerate(tables)
    ]
    added, removed = set_rules(wanted, PROTOCOL)
    return bool(added or removed)
