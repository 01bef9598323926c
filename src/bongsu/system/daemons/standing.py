"""How a session's routes stand in its daemon: what they count, the same words for BIRD and FRR. Pure.

Asked after something was changed: what a daemon was told is not yet what it does.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_PREFERENCE = re.compile(r"\s+BGP\.local_pref: (\d+)")
_PATH = re.compile(r"\s+BGP\.as_path:(.*)")
_ROUTE = re.compile(r"\S*\s+(unicast|blackhole|unreachable|prohibit)\s+\[")


@dataclass(frozen=True)
class Standing:
    """Of one session. A set has one value unless something is on its way."""

    preferences: frozenset[int]
    """Local preferences of the routes that were learned."""
    prepended: frozenset[int]
    """How often our AS number stands before what is announced, the last one, which BGP puts there
    itself, not counted."""

    def is_so(self, preference: int, prepend: int) -> bool:
        """Whether nothing counts otherwise."""
        return self.preferences <= {preference} and self.prepended <= {prepend}


def of_bird(learned: Iterable[str], announced: Iterable[str], asn: int) -> Standing:
    """Lines of `show route all protocol P` and of `show route all export P`."""
    preferences = [int(m[1]) for m in map(_PREFERENCE.match, learned) if m]
    counts: list[int] = []
    for line in announced:
        if _ROUTE.match(line):
            # A path without any AS number has no line of its own.
            counts.append(0)
        elif (path := _PATH.match(line)) and counts:
            counts[-1] = _leading(path[1].split(), asn)
    return Standing(frozenset(preferences), frozenset(counts))


def of_frr(learned: str, announced: str, asn: int) -> Standing:
    """`show bgp ... neighbors X routes json` and `... advertised-routes json`. ValueError."""
    try:
        routes: dict[str, list[dict[str, Any]]] = json.loads(learned).get("routes", {})
        told: dict[str, dict[str, Any]] = json.loads(announced).get("advertisedRoutes", {})
        preferences = [int(path["locPrf"]) for paths in routes.values() for path in paths]
        counts = [_leading(str(route.get("path", "")).split(), asn) for route in told.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"bgpd's routes of a neighbor: {error!r}") from error
    return Standing(frozenset(preferences), frozenset(counts))


def _leading(path: Sequence[str], asn: int) -> int:
    count = 0
    for each in path:
        if each != str(asn):
            break
        count += 1
    return count
