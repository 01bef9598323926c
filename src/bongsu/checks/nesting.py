"""Which tunnels need which: a tunnel stands on every tunnel that its outer packets go through.

An outer packet goes into a tunnel if its destination, or at home its source, is in a prefix that is
announced (from anywhere it is drawn to a PoP and into the tunnels from there), or if the node's best
way to it is one: the inside network of a tunnel, a static route, or a default route taken over it.

A prefix is a point of the graph of its own between the tunnels that need it and those that carry it:
so the graph is as large as the file, not as its square.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from bongsu.checks.line import Line
from bongsu.checks.table import PrefixTable
from bongsu.checks.ways import Ways
from bongsu.model.base import Prefix

Point: TypeAlias = str | Prefix
"""A tunnel's name, or an announced prefix."""

Graph: TypeAlias = dict[Point, list[Point]]


def nesting(lines: Mapping[str, Line], carriers: PrefixTable[frozenset[str]], ways: Ways) -> Graph:
    """Tunnel -> what it stands on, and prefix -> tunnels that carry it; only points that matter."""
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
            best = next(ways.of(line, node), None)
            if best is not None and best.tunnel:
                below[best.interface] = None
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
