"""Inside addresses that zebra has missed are given to it again (see bongsu.system.daemons.zebra).

Without this a tunnel is up, its session Established, and no route by it is ever installed.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from bongsu.agent.events import EventLog
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.daemons import zebra
from bongsu.system.daemons.frr import FrrDaemon
from bongsu.system.ipsec import interfaces

AGAIN_S = 3.0
"""Between two repairs of one tunnel: zebra needs a moment to hear of the first."""


class AddressGuard:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        events: EventLog,
        worker: ThreadPoolExecutor,
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._events = events
        self._worker = worker
        self._failed = failed
        self._repaired: dict[str, float] = {}

    async def look(self, tunnels: Iterable[VpnTunnelPlan]) -> None:
        """Compare what zebra knows with what these tunnels have. Never raises."""
        for tunnel in tunnels:
            if tunnel.inside is None:
                continue
            now = time.monotonic()
            if now - self._repaired.get(tunnel.name, -AGAIN_S) < AGAIN_S:
                continue
            try:
                known = await asyncio.to_thread(
                    zebra.addresses, FrrDaemon("zebra").vty, tunnel.name
                )
                if known is None or str(tunnel.inside) in known:
                    continue
                loop = asyncio.get_running_loop()
                done = await loop.run_in_executor(self._worker, interfaces.readdress, tunnel)
            except OSError:
                return  # zebra is being started
            except Exception as error:
                self._failed(f"address of {tunnel.name}", error)
                continue
            if done:
                self._repaired[tunnel.name] = now
                self._events.add(
                    "address", tunnel.name, f"zebra had missed {tunnel.inside}: given again",
                    level="warning",
                )  # fmt: skip
