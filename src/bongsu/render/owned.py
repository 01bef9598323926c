"""Whether a prefix is the owner's: asked for each one before it is announced, carried or let out."""

from collections import defaultdict
from collections.abc import Iterable

from bongsu.model.base import Prefix


class Owned:
    """The owner's prefixes. A look-up costs one set access for each length that occurs."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        self._networks: dict[tuple[int, int], set[int]] = defaultdict(set)
        for prefix in prefixes:
            self._networks[prefix.version, prefix.prefixlen].add(int(prefix.network_address))

    def covers(self, prefix: Prefix) -> bool:
        """Whether the prefix is one of the owner's, or part of one."""
        network = int(prefix.network_address)
        for (version, length), networks in self._networks.items():
            if version == prefix.version and length <= prefix.prefixlen:
                host_bits = prefix.max_prefixlen - length
                if (network >> host_bits) << host_bits in networks:
                    return True
        return False

    def part(self, prefixes: Iterable[Prefix]) -> list[Prefix]:
        """Those of the prefixes that are the owner's, in their order."""
        return [prefix for prefix in prefixes if self.covers(prefix)]
