"""Keepalives one by one, for an operator who watches: kept only while somebody has a lease.

The lease is what ends it: who goes away without a word costs nothing for longer than that.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bongsu.agent.control import RequestError
from bongsu.agent.keepalive import KeepaliveShell

LONGEST_S = 60.0
"""Of a lease; it may be taken again."""


class KeepaliveDebug:
    """The control request `keepalive_debug`. Belongs to the event loop's thread."""

    def __init__(self, keepalive: KeepaliveShell) -> None:
        self._keepalive = keepalive
        self._end: asyncio.TimerHandle | None = None

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`since`: sequence of the last line seen. `seconds`: how long lines are kept from now on,
        at most LONGEST_S. Returns `lines`, oldest first.
        """
        since, seconds = request.get("since", 0), request.get("seconds", 0)
        if not isinstance(since, int) or not isinstance(seconds, int | float):
            raise RequestError("malformed", "`since` and `seconds` are numbers")
        if since < 0 or not 0 <= seconds <= LONGEST_S:
            raise RequestError("malformed", f"`seconds` is between 0 and {LONGEST_S:g}")
        self._lease(seconds)
        return {"lines": self._lines(since)}

    def close(self) -> None:
        """Keep no more lines."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._keepalive.debug(False)

    def _lease(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # The longest lease counts: several may watch.
        if self._end is not None and self._end.when() >= until:
            return
        if self._end is not None:
            self._end.cancel()
        self._keepalive.debug(True)
        self._end = loop.call_at(until, self.close)

    def _lines(self, since: int) -> list[dict[str, Any]]:
        now, wall = time.monotonic_ns(), datetime.now(UTC)
        lines = []
        for each, plan in self._keepalive.debug_lines(since):
            when = wall - timedelta(microseconds=(now - each.monotonic_ns) / 1000)
            lines.append(
                {
                    "sequence": each.sequence,
                    "time": when.isoformat(timespec="microseconds"),
                    "monotonic_ns": each.monotonic_ns,
                    "tunnel": plan.name,
                    "event": each.event,
                    "local": str(plan.local),
                    "remote": str(plan.remote),
                    "length": each.length,
                    "ttl": each.ttl,
                    "counter": each.counter,
                    "rtt_ns": each.rtt_ns,
                    "state": "up" if each.up else "down",
                }
            )
        return lines
