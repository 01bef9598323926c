"""Carriers and routes as events of the node: the first and the last step of every failover.

With the keepalive's verdict in between they answer why traffic goes where it goes, and since when.
Only told, never acted upon: that is the keepalives' and BIRD's.
"""

import asyncio
from collections.abc import Iterable

from bongsu.agent.events import EventLog
from bongsu.model.base import Prefix
from bongsu.system.netwatch import CarrierChange, Change, NetWatch, RouteChange

AT_ONCE = 64
"""Routes told one by one; of more at once, such as at a daemon's start, the number says enough."""

MAIN_TABLE = 254

REMEMBERED = 10_000
"""Routes whose way is known, so that what replaces it can say so: far more than a plan has."""


class NetLog:
    """Tells of every change. Belongs to the event loop's thread."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._watch: NetWatch | None = None
        self._overrun = 0
        self._interfaces: frozenset[str] = frozenset()
        self._ways: dict[tuple[int, Prefix], str] = {}

    def start(self) -> None:
        """Begin to listen, on the running loop. Raises OSError."""
        self._watch = NetWatch()
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._read)

    def follow(self, interfaces: Iterable[str]) -> None:
        """The interfaces whose carrier is of interest: those of the plan."""
        self._interfaces = frozenset(interfaces)

    def close(self) -> None:
        """Hear no more."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def _read(self) -> None:
        assert self._watch is not None
        changes = self._watch.read()
        if self._watch.overrun != self._overrun:
            self._overrun = self._watch.overrun
            self._events.add("route", "", "more changed than could be followed", level="warning")
            self._ways.clear()
        routes = sum(isinstance(change, RouteChange) for change in changes)
        for change in changes:
            if isinstance(change, RouteChange) and routes > AT_ONCE:
                self._replace(change)
            else:
                self._tell(change)
        if routes > AT_ONCE:
            self._events.add("route", "", f"{routes} routes changed at once")

    def _tell(self, change: Change) -> None:
        match change:
            case CarrierChange(there, interface):
                if interface in self._interfaces:
                    self._events.add(
                        "link", interface, "carrier is back" if there else "carrier is gone",
                        level="info" if there else "warning", state="up" if there else "down",
                    )  # fmt: skip
            case RouteChange():
                self._tell_route(change)

    def _tell_route(self, change: RouteChange) -> None:
        before = self._replace(change)
        self._events.add(
            "route",
            str(change.prefix),
            f"{'' if change.there else 'no more '}{_way(change)}",
            state="there" if change.there else "gone",
            before=before,
            interfaces=[hop.interface for hop in change.hops],
            table="main" if change.table == MAIN_TABLE else change.table,
        )

    def _replace(self, change: RouteChange) -> str | None:
        """The way there was before: a better route replaces another in one step, and the kernel does
        not say which.
        """
        key = (change.table, change.prefix)
        before = self._ways.pop(key, None)
        if change.there and len(self._ways) < REMEMBERED:
            self._ways[key] = _way(change)
        return before


def _way(change: RouteChange) -> str:
    ways = " and ".join(
        f"{hop.interface} via {hop.gateway}" if hop.gateway else hop.interface
        for hop in change.hops
    )
    return f"by {ways}" if ways else "refused"
