"""What the agent knows of its node, as one JSON value for people and programs.

Both sources of liveness stand side by side: the keepalive's line protocol and BIRD's BFD session.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from bongsu.agent.apply import Applier
from bongsu.agent.keepalive import KeepaliveShell
from bongsu.agent.services.node import NodeServices
from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.daemons.birdctl import BfdSession, BirdError, ProtocolState
from bongsu.system.gre.base import GreBackend, GreError

ASK_BIRD_S = 2.0


class Status:
    """Reads the parts of one agent; changes nothing."""

    def __init__(
        self,
        applier: Applier,
        services: NodeServices,
        keepalive: KeepaliveShell,
        worker: ThreadPoolExecutor,
    ) -> None:
        self._worker = worker
        self._applier = applier
        self._services = services
        self._keepalive = keepalive
        self._since = time.monotonic()
        self.backend: GreBackend | None = None

    async def full(self) -> dict[str, Any]:
        """Everything; `plan` is null until a bundle has been applied."""
        bundle = self._applier.bundle
        loop = asyncio.get_running_loop()
        counters, held, (protocols, bfd) = await asyncio.gather(
            self.counters(),
            loop.run_in_executor(self._worker, self._read_held),
            asyncio.to_thread(self.sessions),
        )
        plan = bundle.plan if bundle is not None else None
        return {
            "node": plan.node if plan else None,
            "network": plan.network if plan else None,
            "role": plan.role.value if plan else None,
            "plan": plan.digest() if plan else None,
            "bundle": bundle.digest if bundle else None,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._since, 3),
            "backend": self.backend.name if self.backend else None,
            "tunnels": [
                self._tunnel(tunnel, counters, held, bfd)
                for tunnel in (plan.tunnels if plan else [])
            ],
            "keepalive_refused": self._keepalive.refused(),
            "ipsec": self._services.ipsec.way,
            "daemons": self._services.status(),
            "bgp": [
                {**asdict(protocol), "established": protocol.established}
                for protocol in protocols
                if protocol.kind == "BGP"
            ],
            "bfd": [asdict(session) for session in bfd],
        }

    def plan(self) -> str:
        """The digest of the plan in force; empty until there is one."""
        bundle = self._applier.bundle
        return bundle.plan.digest() if bundle is not None else ""

    async def counters(self) -> dict[str, Any]:
        """Counters of each tunnel, by its name."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._read_counters)

    def _read_counters(self) -> dict[str, Any]:
        if self.backend is None:
            return {}
        try:
            return {name: asdict(value) for name, value in self.backend.counters().items()}
        except (GreError, NetlinkError, OSError):
            return {}

    def _read_held(self) -> set[str]:
        if self.backend is None:
            return set()
        try:
            return self.backend.held()
        except (GreError, NetlinkError, OSError):
            return set()

    def _tunnel(
        self,
        plan: TunnelPlan,
        counters: dict[str, Any],
        held: set[str],
        bfd: list[BfdSession],
    ) -> dict[str, Any]:
        keepalive = self._keepalive.status(plan.name)
        line = keepalive["line_protocol"] if keepalive else None
        counted = counters.get(plan.name)
        if keepalive is not None:
            keepalive["reflected"] = counted["keepalives_reflected"] if counted else None
        return {
            "name": plan.name,
            "peer": plan.peer,
            "local": str(plan.local),
            "remote": str(plan.remote),
            "key": plan.key,
            "mtu": plan.mtu,
            # Keepalives do not need the tunnel's way: they may be answered while it leads into itself.
            "line_protocol": "down" if plan.name in held else line,
            "held": plan.name in held,
            "keepalive": keepalive,
            "bfd": [
                {"address": session.address, "state": session.state, "since": session.since}
                for session in bfd
                if session.interface == plan.name
            ],
            "counters": counted,
        }

    def sessions(self) -> tuple[list[ProtocolState], list[BfdSession]]:
        """What BIRD says now; nothing while it does not answer."""
        service = self._services.bird
        if not service.supervisor.running:
            return [], []
        try:
            with service.bird.connect(ASK_BIRD_S) as control:
                return control.protocols(), control.bfd_sessions()
        except (OSError, BirdError):
            return [], []
