"""IPsec as a service: which way it is carried is found out here, and told.

By the kernel, with the IKE daemon that the plan names; or, where the kernel has no ESP, in user space
by strongSwan's kernel-libipsec, whatever the plan names.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from bongsu.agent.events import EventLog
from bongsu.agent.services.libipsec import LibipsecService
from bongsu.agent.services.libreswan import LibreswanService
from bongsu.agent.services.service import Request, Texts
from bongsu.agent.services.strongswan import StrongswanService
from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.node import NodePlan
from bongsu.plan.selectors import Child, children
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.ipsec import interfaces
from bongsu.system.ipsec.probe import IpsecAbility, probe
from bongsu.system.ipsec.state import IkeSa

Way = Literal["strongswan", "libreswan", "libipsec"]


class IpsecService:
    """The node's IPsec tunnels. Belongs to the event loop's thread."""

    name = "ipsec"

    def __init__(
        self,
        state_dir: Path,
        events: EventLog,
        worker: ThreadPoolExecutor,
        ability: Callable[[], IpsecAbility] = probe,
    ) -> None:
        self._events = events
        self._worker = worker
        self._ability = ability
        self.ways: dict[Way, StrongswanService | LibreswanService | LibipsecService] = {
            "strongswan": StrongswanService(state_dir, events, worker),
            "libreswan": LibreswanService(state_dir, events, worker),
            "libipsec": LibipsecService(state_dir, events, worker),
        }
        self.way: Way | None = None
        """How the tunnels are carried; None without tunnels."""
        self._told = ""

    def choose(self, plan: NodePlan) -> None:
        """Find out which way; blocks while the kernel is tried. Raises NetnsError."""
        if not plan.vpns:
            self.way = None
            return
        refusal = self._ability().refusal(plan.vpns)
        self.way = "libipsec" if refusal else _kernel(plan)
        said = f"{self.way}: {refusal}" if refusal else f"{self.way} and the kernel's ESP"
        if said != self._told:
            self._told = said
            self._events.add("ipsec", "", f"tunnels are carried by {said}", backend=self.way)

    def owns(self, path: Path) -> bool:
        return any(service.owns(path) for service in self.ways.values())

    def used(self, path: Path) -> bool:
        """Whether a file of IPsec's is of the way that was chosen."""
        return self.way is not None and self.ways[self.way].owns(path)

    def wanted(self, plan: NodePlan) -> bool:
        return bool(plan.vpns)

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        if self.way is not None:
            self.ways[self.way].check(plan, texts, scratch)

    async def apply(self, request: Request) -> None:
        for way, service in self.ways.items():
            if way == self.way:
                continue
            if await service.stop():
                request.changed(f"stopped {way}")
            if isinstance(service, LibreswanService) and await asyncio.to_thread(service.forget):
                request.changed("took the certificates out of Libreswan's database")
        if self.way is not None:
            await self.ways[self.way].apply(request)
            return
        loop = asyncio.get_running_loop()
        for name in await loop.run_in_executor(self._worker, interfaces.remove_all):
            request.changed(f"removed tunnel {name}")

    async def stop(self) -> bool:
        return any([await service.stop() for service in self.ways.values()])

    def close(self) -> None:
        for service in self.ways.values():
            service.close()

    def detach(self) -> None:
        for service in self.ways.values():
            service.detach()

    def status(self) -> list[dict[str, Any]]:
        return [] if self.way is None else self.ways[self.way].status()

    def clean(self) -> None:
        for service in self.ways.values():
            service.clean()

    def associations(self) -> dict[str, list[IkeSa] | None]:
        """By tunnel; None where its daemon does not answer. Blocks."""
        return {} if self.way is None else self.ways[self.way].associations()

    def children(self, tunnel: VpnTunnelPlan) -> list[Child]:
        """What the daemon negotiates for a tunnel, each by its name."""
        # Libreswan has no lists of selectors.
        return children(tunnel, pairs=True if self.way == "libreswan" else None)

    def initiate(self, tunnel: str, child: str) -> None:
        """Call the far end again, for one of `children`. Blocks. RunError, OSError, ViciError."""
        if self.way is not None:
            self.ways[self.way].initiate(tunnel, child)

    def lead(self, tunnels: Sequence[str]) -> bool:
        """Put tunnels by policy in order, those that do not carry left out; False if they were so.

        Only user space has to be told: the kernel goes by its policies' priorities. Blocks.
        NetlinkError.
        """
        way = None if self.way is None else self.ways[self.way]
        return isinstance(way, LibipsecService) and way.lead(tunnels)

    def logs(self) -> dict[Path, str]:
        """Log files, and the tunnel that each is of; empty for one of all tunnels."""
        return {} if self.way is None else self.ways[self.way].logs()

    @property
    def user_space(self) -> bool:
        """Whether ESP ends with its daemon."""
        return self.way == "libipsec"


def _kernel(plan: NodePlan) -> Way:
    return "libreswan" if plan.ipsec is IpsecDaemon.LIBRESWAN else "strongswan"
