"""Which tunnels need which: a tunnel stands on every tunnel that its outer packets go through.

An outer packet goes into a tunnel if its destination, or at home its source, is in a prefix that is
announced (from anywhere it is drawn to a PoP and into the tunnels from there), if it is in the inside
network of a tunnel of the node, or if the node takes a default route over a tunnel.

A prefix is a point of the graph of its own between the tunnels that need it and those that carry it:
so the graph is as large as the file, not as its square.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from bongsu.checks.line import Line
from bongsu.checks.table import PrefixTable
from bongsu.model.base import Prefix
from bongsu.model.network import Network

Point: TypeAlias = str | Prefix
"""A tunnel's name, or an announced prefix."""

Graph: TypeAlias = dict[Point, list[Point]]


def nesting(
    network: Network, lines: Mapping[str, Line], carriers: PrefixTable[frozenset[str]]
) -> Graph:
    """Tunnel -> what it stands on, and prefix -> tunnels that carry it; only points that matter."""
    inside = _insides(network, lines)
    default = _defaults(network, inside)
    graph: Graph = {}
    for name, line in lines.items():
        below: dict[Point, None] = {}
        for address in line.outer.values():
            # Announced more than once in different lengths: the longest draws the packet.
            for prefix, tunnels in carriers.holding(address):
                below[prefix] = None
                graph.setdefault(prefix, sorted(tunnels))
                break
        for node in line.outer:
            through = _by_node(network, line, node, inside[node], default.get(node))
            if through is not None:
                below[through] = None
        if below:
            graph[name] = list(below)
    return graph


def cycles(graph: Graph) -> Iterator[list[str]]:
    """Tunnels that need each other, or a single one that needs itself; by name.

    Tarjan's strongly connected components, without recursion: a chain may be as long as the network.
    """
    number: dict[Point, int] = {}
    low: dict[Point, int] = {}
    stack: list[Point] = []
    standing: set[Point] = set()
    for root in graph:
        if root in number:
            continue
        work = [(root, iter(graph[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        standing.add(root)
        while work:
            point, rest = work[-1]
            for other in rest:
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    standing.add(other)
                    work.append((other, iter(graph.get(other, ()))))
                    break
                if other in standing:
                    low[point] = min(low[point], number[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[point])
                if low[point] == number[point]:
                    ring = {stack.pop()}
                    while point not in ring:
                        ring.add(stack.pop())
                    standing -= ring
                    if len(ring) > 1 or point in graph.get(point, ()):
                        yield sorted(item for item in ring if isinstance(item, str))


def _insides(network: Network, lines: Mapping[str, Line]) -> dict[str, PrefixTable[str]]:
    """Of each node, the inside networks of its tunnels."""
    tables: dict[str, PrefixTable[str]] = {name: PrefixTable() for name in network.nodes}
    for name, line in lines.items():
        for node, end in line.tunnel.ends.items():
            for address in end.addresses:
                if not address.ip.is_link_local:
                    tables[node].add(address.network, name)
    return tables


def _defaults(network: Network, inside: dict[str, PrefixTable[str]]) -> dict[str, str]:
    """Nodes that take a default route from a neighbor inside a tunnel, and that tunnel."""
    found = {}
    for name, node in network.nodes.items():
        for neighbor in node.bgp.neighbors.values():
            through = next(inside[name].holding(neighbor.address), None)
            if neighbor.import_ == "default" and through is not None:
                found[name] = through[1]
    return found


def _by_node(
    network: Network, line: Line, node: str, inside: PrefixTable[str], default: str | None
) -> str | None:
    """The tunnel that the node's own routes send the tunnel's outer packets into."""
    remote = next(address for end, address in line.outer.items() if end != node)
    through = next(inside.holding(remote), None)
    if through is not None:
        return through[1]
    own = network.nodes[node].interfaces.values()
    if any(remote in address.network for item in own for address in item.addresses):
        return None
    return default
