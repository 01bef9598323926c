"""Prefixes with values, asked by address: at most one look-up for each length that is present."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

from bongsu.model.base import Address, Prefix

T = TypeVar("T")


class PrefixTable(Generic[T]):
    """A map from prefixes to values. Adding a prefix again replaces its value."""

    def __init__(self) -> None:
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        """Lengths present of each family, longest first."""
        self._values: dict[tuple[int, int, int], tuple[Prefix, T]] = {}
        """By family, length and network number."""

    def add(self, prefix: Prefix, value: T) -> None:
        """Keep a value under a prefix."""
        lengths = self._lengths[prefix.version]
        if prefix.prefixlen not in lengths:
            lengths.append(prefix.prefixlen)
            lengths.sort(reverse=True)
        number = int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
        self._values[(prefix.version, prefix.prefixlen, number)] = (prefix, value)

    def holding(self, item: Address | Prefix) -> Iterator[tuple[Prefix, T]]:
        """Prefixes that hold an address, or the whole of a prefix; the longest first."""
        if isinstance(item, IPv4Network | IPv6Network):
            number, most = int(item.network_address), item.prefixlen
        else:
            number, most = int(item), item.max_prefixlen
        width = item.max_prefixlen
        for length in self._lengths[item.version]:
            if length <= most:
                found = self._values.get((item.version, length, number >> (width - length)))
                if found is not None:
                    yield found

    def holds(self, item: Address | Prefix) -> bool:
        """Whether any prefix holds the address, or the whole of the prefix."""
        return next(self.holding(item), None) is not None
