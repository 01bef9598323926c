"""More-specifics by the tunnels that carry, while another of the connection is down.

A cloud goes on sending into a dead tunnel until its own hold timer has run out, and nothing that we say
by that tunnel reaches it. What we say by the others does: a longer prefix wins there at once, whatever
it prefers else. They are withdrawn when all tunnels are up again, which the verdict is slow to say.
"""

import asyncio
from collections.abc import Callable, Mapping

from bongsu.agent.events import EventLog
from bongsu.agent.services.node import NodeServices
from bongsu.agent.services.service import specifics
from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan
from bongsu.protocol.link import Verdict


class Takeover:
    """Has routing announce what the verdicts call for. Belongs to the event loop's thread."""

    def __init__(
        self, events: EventLog, services: NodeServices, failed: Callable[[str, Exception], None]
    ) -> None:
        self._events = events
        self._services = services
        self._failed = failed
        self._told: dict[str, tuple[bool, int | None, list[Prefix]]] = {}
        """By connection: whether it is on, which process of the daemon was told, and of what."""
        self._one = asyncio.Lock()

    async def look(self, plan: NodePlan, verdicts: Mapping[str, Verdict]) -> None:
        """Tell routing what has changed; a new process of it is told all. Never raises."""
        async with self._one:
            running = self._services.router(plan).process
            for vpn, on in wanted(plan, verdicts).items():
                before = self._told.get(vpn)
                now = (on, running, specifics(plan, vpn, 4) + specifics(plan, vpn, 6))
                if before == now or running is None:
                    continue
                try:
                    await asyncio.to_thread(self._services.router(plan).take_over, plan, vpn, on)
                except Exception as error:
                    self._failed(f"takeover of {vpn}", error)
                    continue
                self._told[vpn] = now
                if on != (before is not None and before[0]):
                    what = "announced" if on else "withdrawn"
                    self._events.add("takeover", vpn, f"more-specifics {what}", on=on)


def wanted(plan: NodePlan, verdicts: Mapping[str, Verdict]) -> dict[str, bool]:
    """By connection that has more-specifics: whether one of its tunnels is down and another is not."""
    found: dict[str, bool] = {}
    for vpn in dict.fromkeys(peer.vpn for peer in plan.cloud_peers if peer.more_specifics):
        own = [
            verdicts[tunnel.name].carries
            for tunnel in plan.vpns
            if tunnel.vpn == vpn and tunnel.name in verdicts
        ]
        found[vpn] = any(own) and not all(own)
    return found
