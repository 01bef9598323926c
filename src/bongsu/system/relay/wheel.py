"""Which endpoint a client gets: a table of fixed size, filled so that it changes little.

Maglev's way (Eisenbud and others, NSDI 2016, section 3.4): each endpoint has an order of all places
of its own, and they take turns at their next free one, as often as their weight says. When one goes,
its places are divided among the others and nearly all the rest stays.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.system.relay.layout import NOBODY, WHEEL


def fill(endpoints: Sequence[tuple[Address, int, int]]) -> npt.NDArray[np.uint8]:
    """The table (WHEEL places) of endpoints given as address, weight (0 takes none) and the number
    that stands in the table; NOBODY everywhere without one.
    """
    places = np.full(WHEEL, NOBODY, np.uint8)
    willing = sorted((e for e in endpoints if e[1] > 0), key=lambda e: (e[0].version, e[0]))
    if not willing:
        return places
    orders = [iter(_order(address)) for address, _, _ in willing]
    most = max(weight for _, weight, _ in willing)
    owed, left = [0] * len(willing), WHEEL
    while left:
        for each, (_, weight, number) in enumerate(willing):
            owed[each] += weight
            if owed[each] < most or not left:
                continue
            owed[each] -= most
            at = next(place for place in orders[each] if places[place] == NOBODY)
            places[at] = number
            left -= 1
    return places


def _order(address: Address) -> list[int]:
    digest = hashlib.blake2b(address.packed, digest_size=16, person=b"bongsu-wheel").digest()
    offset = int.from_bytes(digest[:8], "big") % WHEEL
    step = int.from_bytes(digest[8:], "big") % (WHEEL - 1) + 1
    return [(offset + step * turn) % WHEEL for turn in range(WHEEL)]
