"""The more-specifics that take over for a prefix, and how many there may be."""

from bongsu.model.base import Prefix

MOST_BITS = 8
"""256 bounds what a typing error can do to other people's routing tables."""


def more_specifics(prefix: Prefix, length: int | None) -> list[Prefix]:
    """The parts of that length; none where it is no longer than the prefix, or far longer."""
    longest = min(prefix.prefixlen + MOST_BITS, prefix.max_prefixlen)
    if length is None or not prefix.prefixlen < length <= longest:
        return []
    return list(prefix.subnets(new_prefix=length))
