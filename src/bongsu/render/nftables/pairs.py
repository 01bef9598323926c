"""Pairs of prefixes that do not overlap: what a set of concatenated intervals takes as elements."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from bongsu.model.base import Prefix

Pair: TypeAlias = tuple[Prefix, Prefix]


def disjoint(pairs: Iterable[Pair]) -> list[Pair]:
    """The same pairs of addresses, of one family, in pairs of prefixes of which no two overlap.

    Prefixes nest or are apart, so what two pairs share can be cut out of the one that is longer in
    one of the two. Cost is quadratic in the pairs: those of a node's tunnels, some dozens.
    """
    kept: list[Pair] = []
    waiting = sorted(dict.fromkeys(pairs), key=lambda pair: pair[0].prefixlen + pair[1].prefixlen)
    while waiting:
        here, there = waiting.pop(0)
        other = next(
            (pair for pair in kept if here.overlaps(pair[0]) and there.overlaps(pair[1])), None
        )
        if other is None:
            kept.append((here, there))
        elif _within(here, other[0]) and _within(there, other[1]):
            continue
        elif _within(here, other[0]):
            waiting += [(here, rest) for rest in _without(there, other[1])]
        elif _within(there, other[1]):
            waiting += [(rest, there) for rest in _without(here, other[0])]
        else:
            kept.remove(other)
            waiting.insert(0, (here, there))
    return kept


# Both are of one family, which the types do not say.
def _within(inner: Any, outer: Any) -> bool:
    return bool(inner.subnet_of(outer))


def _without(whole: Any, part: Any) -> list[Prefix]:
    return list(whole.address_exclude(part))
