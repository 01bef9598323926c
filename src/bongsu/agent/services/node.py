"""The services of one node, in the order in which they come up."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services.bird import BirdService
from bongsu.agent.services.frr import FrrService
from bongsu.agent.services.ipsec import IpsecService
from bongsu.agent.services.relay import RelayService
from bongsu.agent.services.service import Service
from bongsu.model.node import RoutingDaemon
from bongsu.plan.node import NodePlan
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.relay import choose_relay


class NodeServices:
    """IPsec, the relay, then routing; they end the other way round. Belongs to the event loop's thread."""

    def __init__(
        self,
        state_dir: Path,
        events: EventLog,
        worker: ThreadPoolExecutor,
        relay: str | None = None,
    ) -> None:
        """`relay`: what carries accelerators; None: by probing."""
        self.ipsec = IpsecService(state_dir, events, worker)
        self.relay = RelayService(state_dir, events, worker, partial(choose_relay, relay))
        self.bird = BirdService(state_dir, events)
        self.frr = FrrService(state_dir, events)

    @property
    def routing(self) -> list[BirdService | FrrService]:
        return [self.bird, self.frr]

    @property
    def all(self) -> list[Service]:
        return [self.ipsec, self.relay, self.bird, self.frr]

    def choose(self, plan: NodePlan) -> None:
        """Find out what carries IPsec here. Blocks. Raises NetnsError."""
        self.ipsec.choose(plan)

    def owns(self, path: Path) -> bool:
        """Whether a service may have a file there."""
        return any(service.owns(path) for service in self.all)

    def used(self, path: Path) -> bool:
        """Whether a file is of use here: of IPsec's only those of the way that was chosen."""
        return self.ipsec.used(path) or not self.ipsec.owns(path)

    def neighbors(self, plan: NodePlan) -> list[BgpNeighbor]:
        """BGP sessions of the daemon that routes. Blocks."""
        return self.router(plan).neighbors()

    def router(self, plan: NodePlan) -> BirdService | FrrService:
        """The daemon that routes."""
        return self.frr if plan.routing is RoutingDaemon.FRR else self.bird

    def status(self) -> list[dict[str, Any]]:
        """Of each daemon."""
        return [one for service in reversed(self.all) for one in service.status()]

    async def stop(self) -> None:
        """End them for good, announcements first. Raises RunError."""
        for service in reversed(self.all):
            await service.stop()

    def close(self) -> None:
        """Start nothing any more."""
        for service in self.all:
            service.close()

    def detach(self) -> None:
        """Leave them running and stop watching them."""
        for service in self.all:
            service.detach()
