"""Which ways a node's own packets can take: its links, its static routes, and what BGP brings.

Outer packets of tunnels are a node's own. Of the ways to an address the longest prefix is taken, of
one prefix the lowest distance; the others are what is left when a link or a line goes down. Policy
routing is left out: it is for packets that pass through, as `ip policy route-map` has it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bongsu.checks.line import Line
from bongsu.checks.table import PrefixTable
from bongsu.model.base import EVERYTHING, Address, Prefix
from bongsu.model.network import Network
from bongsu.model.node import Node

CONNECTED, LEARNED, STATIC = 0, 0, 1
"""Distances. A default route that BGP brings is meant to be used, so it stands before a gateway."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a prefix."""

    prefix: Prefix
    interface: str
    """By which packets leave; a tunnel's name if they go into it."""
    tunnel: bool
    distance: int


Table: TypeAlias = PrefixTable[list[Way]]


class Ways:
    """The ways of all nodes, each routing table (VRF) apart. Cost is that of the network's size."""

    def __init__(self, network: Network, lines_of: Mapping[str, list[Line]]) -> None:
        self._tables: dict[tuple[str, str | None], Table] = {}
        for name, node in network.nodes.items():
            self._connect(name, node, lines_of[name])
            self._route(name, node)

    def to(self, node: str, address: Address, vrf: str | None = None) -> Iterator[Way]:
        """All ways from a node to an address, the one that is taken first."""
        table = self._tables.get((node, vrf))
        if table is not None:
            for _prefix, ways in table.holding(address):
                yield from sorted(ways, key=lambda way: way.distance)

    def of(self, line: Line, node: str) -> Iterator[Way]:
        """All ways of a tunnel's outer packets from one of its ends to the other."""
        return self.to(node, line.outer[line.peer(node)], line.vrf[node])

    def _connect(self, name: str, node: Node, lines: list[Line]) -> None:
        for line in lines:
            end = line.tunnel.ends[name]
            for address in end.addresses:
                if not address.ip.is_link_local:
                    self._add(name, end.vrf, Way(address.network, line.name, True, CONNECTED))
        for key, item in node.interfaces.items():
            for address in item.addresses:
                self._add(name, item.vrf, Way(address.network, key, False, CONNECTED))

    def _route(self, name: str, node: Node) -> None:
        for neighbor in node.bgp.neighbors.values():
            through = next(self.to(name, neighbor.address), None)
            if neighbor.import_ == "default" and through is not None and through.tunnel:
                everything = EVERYTHING[neighbor.address.version]
                self._add(name, None, Way(everything, through.interface, True, LEARNED))
        for key, item in node.interfaces.items():
            for gateway in (item.gateway, item.gateway6):
                if gateway is not None:
                    everything = EVERYTHING[gateway.version]
                    self._add(name, item.vrf, Way(everything, key, False, STATIC))
        for route in node.routes:
            if isinstance(route.via, str):
                self._add(name, None, Way(route.to, route.via, True, route.distance))
                continue
            through = next(self.to(name, route.via), None)
            if through is not None:
                way = Way(route.to, through.interface, through.tunnel, route.distance)
                self._add(name, None, way)

    def _add(self, node: str, vrf: str | None, way: Way) -> None:
        table = self._tables.setdefault((node, vrf), PrefixTable())
        longest = next(table.holding(way.prefix), None)
        if longest is not None and longest[0] == way.prefix:
            longest[1].append(way)
        else:
            table.add(way.prefix, [way])
