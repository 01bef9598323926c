"""Recursive routing: a tunnel whose way to its own peer leads into a tunnel is held down.

It comes after a failover: the route to the peer is gone, and a less specific one, often the tunnel's
own default, takes its place. The data plane drops what would go round; here the tunnel is held down,
so that its routes leave and others serve, until the way to the peer leads elsewhere. A tunnel let go
may do it again, for its own routes come back with it: each time in a row it is held twice as long.

Cisco calls it "temporarily disabled due to recursive routing" (%TUN-5-RECURDOWN).
"""

import asyncio
import time
from concurrent.futures import Executor
from dataclasses import dataclass

from bongsu.agent.events import EventLog
from bongsu.system.gre.base import GreBackend, GreError

FIRST_S, MOST_S = 10.0, 300.0
"""For how long a tunnel is held at least: the first time, and after many in a row."""


@dataclass
class _Held:
    seconds: float
    until: float
    """CLOCK_MONOTONIC, seconds: not let go before; once let go, when that was."""


class RecursionGuard:
    """The holds of a node. Belongs to the event loop's thread; the backend is asked in `worker`."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._held: dict[str, _Held] = {}
        """Of tunnels that are held, or were so lately that it may be the same trouble."""

    async def look(self, backend: GreBackend, worker: Executor) -> None:
        """Holds and lets go; to be called about once a second. Raises GreError, OSError."""
        loop = asyncio.get_running_loop()
        found, held = await loop.run_in_executor(
            worker, lambda: (backend.recursive(), backend.held())
        )
        now = time.monotonic()
        for name, into in found.items():
            if name not in held:
                await loop.run_in_executor(worker, backend.hold, name, True)
                self._hold(name, into, now)
        for name in sorted(held - found.keys()):
            if not self._due(name, now):
                continue
            # Gone between the two questions, with its hold.
            try:
                leads = await loop.run_in_executor(worker, backend.reaches, name)
                if leads:
                    await loop.run_in_executor(worker, backend.hold, name, False)
            except GreError:
                continue
            if leads:
                self._held[name].until = now
                self._events.add(
                    "recursion", name, "the way to its peer leads elsewhere: let go", state="up"
                )

    def _hold(self, name: str, into: str, now: float) -> None:
        before = self._held.get(name)
        again = before is not None and now < before.until + before.seconds
        seconds = min(before.seconds * 2, MOST_S) if before is not None and again else FIRST_S
        self._held[name] = _Held(seconds, now + seconds)
        self._events.add(
            "recursion", name, "temporarily disabled due to recursive routing: the way to its peer"
            f" leads into {'itself' if into == name else into}", level="warning", state="down",
            into=into, hold_s=seconds,
        )  # fmt: skip

    def _due(self, name: str, now: float) -> bool:
        # An agent before this one may have held it.
        held = self._held.setdefault(name, _Held(FIRST_S, now + FIRST_S))
        return now >= held.until
