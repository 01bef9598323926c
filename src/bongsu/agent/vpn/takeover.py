"""More-specifics by the tunnels that carry, while another of the connection is down.

A cloud goes on sending into a dead tunnel until its own hold timer has run out, and nothing that we say
by that tunnel reaches it. What we say by the others does: a longer prefix wins there at once, whatever
it prefers else. They are withdrawn when all tunnels are up again, which the verdict is slow to say.

It may be that only what the cloud sends is lost. Then it hears us by the dead tunnel, too, and would be
told of the more-specifics there as well: so routing ends that tunnel's session first.

A tunnel that has not been up yet is no reason: a cloud sends nothing into what never stood.
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
        self._told: dict[str, tuple[bool, int | None, list[Prefix], list[str]]] = {}
        """By connection: whether it is on, which process of the daemon was told, of what, and which
        tunnels were lost."""
        self._carried: set[str] = set()
        """Tunnels that have been up."""
        self._one = asyncio.Lock()

    async def look(self, plan: NodePlan, verdicts: Mapping[str, Verdict]) -> None:
        """Tell routing what has changed; a new process of it is told all. Never raises."""
        async with self._one:
            self._carried |= {name for name, verdict in verdicts.items() if verdict.carries}
            verdicts = {name: verdicts[name] for name in verdicts if name in self._carried}
            running = self._services.router(plan).process
            for vpn, on in wanted(plan, verdicts).items():
                before = self._told.get(vpn)
                gone = lost(plan, vpn, verdicts) if on else []
                now = (on, running, specifics(plan, vpn, 4) + specifics(plan, vpn, 6), gone)
                if before == now or running is None:
                    continue
                try:
                    router = self._services.router(plan)
                    await asyncio.to_thread(router.take_over, plan, vpn, on, gone)
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


def lost(plan: NodePlan, vpn: str, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Tunnels of a connection that are down."""
    own = [tunnel.name for tunnel in plan.vpns if tunnel.vpn == vpn]
    return [name for name in own if name in verdicts and not verdicts[name].carries]
