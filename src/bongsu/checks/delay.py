"""How long a packet takes from node to node at the least, by what the file knows of the world.

Two things bound it: light, between the places that nodes stand at, and in the lab the delays of its
links. Both are lower bounds, so what they rule out is ruled out for certain.
"""

import heapq
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import TypeAlias

from bongsu.model.lab import Impairment
from bongsu.model.network import Network
from bongsu.model.node import Location
from bongsu.plan.tunnel import TunnelPlan

EARTH_KM = 6371.0
"""Mean radius (IUGG)."""
LIGHT_KM_PER_MS = 299.792458
"""In vacuum: in fibre it is two thirds of it, by radio nearly all."""

_Place: TypeAlias = tuple[str, str]
"""Of the lab: ("node" or "as", name)."""


@dataclass(frozen=True, slots=True)
class Delay:
    """There and back between two nodes."""

    least_ms: float
    words: str
    """Where that is known from."""


class Delays:
    """Answers for tunnels. Between two nodes the lab's paths are searched for from the one that has
    more links, and from that once: a star is searched once in all."""

    def __init__(self, network: Network) -> None:
        self._nodes = network.nodes
        self._links = _links(network)
        wires = network.lab.wires if network.lab is not None else []
        self._wires = {frozenset((wire.a, wire.b)): wire for wire in wires}
        self._longest_ms = sum(
            link.delay_ms for links in self._links.values() for _to, link in links
        )
        """There and back over all links of the lab, more than which no path takes."""
        self._searched: dict[_Place, dict[_Place, float]] = {}

    def of(
        self, own: TunnelPlan, node: str, other: TunnelPlan, *, if_above_ms: float
    ) -> Delay | None:
        """A tunnel from end to end: the stricter of the bounds.

        None if neither reaches `if_above_ms`, or nothing is known.
        """
        one, far = node, own.peer
        found = []
        here, there = self._nodes[one].location, self._nodes[far].location
        if here is not None and there is not None:
            kilometres = distance_km(here, there)
            light = 2 * kilometres / LIGHT_KM_PER_MS
            words = f"light takes for {kilometres:,.0f} km there and back".replace(",", " ")
            found.append(Delay(light, words))
        # Most networks need no search.
        if self._longest_ms >= if_above_ms:
            # A tunnel that speaks from a loopback goes where routing says, any other by its underlay.
            pinned = not own.other_underlays and not other.other_underlays
            ends = (f"{one}/{own.underlay}", f"{far}/{other.underlay}")
            wire = self._wires.get(frozenset(ends)) if pinned else None
            lab = self._shortest(one, far) if wire is None else wire.delay_ms
            if lab is not None:
                found.append(Delay(2 * lab, "the lab's links take there and back"))
        found = [delay for delay in found if delay.least_ms >= if_above_ms]
        return max(found, key=lambda delay: delay.least_ms, default=None)

    def _shortest(self, one: str, other: str) -> float | None:
        start, end = sorted((("node", one), ("node", other)), key=self._few_links)
        return self._from(start).get(end)

    def _few_links(self, place: _Place) -> int:
        return -len(self._links.get(place, ()))

    def _from(self, start: _Place) -> dict[_Place, float]:
        """Dijkstra's shortest paths, one way, in milliseconds."""
        if start in self._searched:
            return self._searched[start]
        done: dict[_Place, float] = {}
        waiting = [(0.0, start)]
        while waiting:
            delay, place = heapq.heappop(waiting)
            if place in done:
                continue
            done[place] = delay
            for to, link in self._links.get(place, ()):
                if to not in done:
                    heapq.heappush(waiting, (delay + link.delay_ms, to))
        self._searched[start] = done
        return done


def distance_km(one: Location, other: Location) -> float:
    """Along the great circle (haversine formula)."""
    a, b = radians(one.latitude), radians(other.latitude)
    east = radians(other.longitude - one.longitude)
    half = sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(east / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(half)))


def _links(network: Network) -> dict[_Place, list[tuple[_Place, Impairment]]]:
    found: dict[_Place, list[tuple[_Place, Impairment]]] = {}

    def join(one: _Place, other: _Place, link: Impairment) -> None:
        found.setdefault(one, []).append((other, link))
        found.setdefault(other, []).append((one, link))

    if network.lab is not None:
        for wire in network.lab.wires:
            ends = (wire.a.partition("/")[0], wire.b.partition("/")[0])
            join(("node", ends[0]), ("node", ends[1]), wire)
        for between in network.lab.internet.links:
            join(("as", between.a), ("as", between.b), between)
        for node, interfaces in network.lab.uplinks.items():
            for uplink in interfaces.values():
                join(("node", node), ("as", uplink.to), uplink)
    return found
