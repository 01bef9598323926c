"""strongSwan on a kernel with ESP, as a service: one charon, VTIs or XFRM interfaces."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bongsu.agent.certificates import fingerprints
from bongsu.agent.events import EventLog
from bongsu.agent.services import kernel_interfaces
from bongsu.agent.services.service import Request, Texts, identity, meaning
from bongsu.agent.services.single import SingleService
from bongsu.agent.supervisor import Supervisor
from bongsu.plan.node import NodePlan
from bongsu.system.daemons.charon import Charon
from bongsu.system.daemons.vici import ViciError
from bongsu.system.ipsec import interfaces
from bongsu.system.ipsec.state import IkeSa

CONNECTIONS = Path("/etc/swanctl/conf.d/bongsu.conf")
SECRETS = Path("/etc/swanctl/conf.d/bongsu-secrets.conf")
SETTINGS = Path("/etc/strongswan.d/bongsu.conf")
KEYS = Path("/etc/swanctl/private")


class StrongswanService(SingleService):
    """One charon. Belongs to the event loop's thread."""

    name = "strongswan"

    def __init__(self, state_dir: Path, events: EventLog, worker: ThreadPoolExecutor) -> None:
        self._charon = Charon()
        self._worker = worker
        self._tunnels: list[str] = []
        self._ran = False
        self._log = state_dir / "charon.log"
        self.supervisor = Supervisor(self._charon, state_dir, events, self._settle)

    def owns(self, path: Path) -> bool:
        if path.parent == KEYS:
            return path.name.startswith("bongsu-") and path.suffix == ".pem"
        return path in (CONNECTIONS, SECRETS, SETTINGS)

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        """swanctl has no check of its own: what charon refuses it says when it is loaded."""

    async def apply(self, request: Request) -> None:
        self._tunnels, self._ran = [tunnel.name for tunnel in request.plan.vpns], True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, kernel_interfaces.build, request)
        keys = sorted(path for path in request.texts if path.parent == KEYS)
        loaded: list[Any] = [meaning(request.texts.get(SETTINGS, ""))]
        loaded += [identity(path) for path in (CONNECTIONS, SECRETS, *keys)]
        loaded.append(fingerprints(request.plan))
        before = self.supervisor.loaded
        if await self.supervisor.ensure() == "started":
            request.changed("started charon")
        elif (before := self.supervisor.loaded) != loaded:
            known = bool(before)
            await asyncio.to_thread(
                self._load, known and before[0] != loaded[0], known and before[-1] != loaded[-1]
            )
            request.changed("charon: loaded what differs")
        if loaded != before:
            self.supervisor.remember(loaded)

    def clean(self) -> None:
        if self._ran:
            self._charon.remove_run_files()
        interfaces.remove_all()

    def associations(self) -> dict[str, list[IkeSa] | None]:
        try:
            found = self._charon.associations()
        except (OSError, ViciError):
            return dict.fromkeys(self._tunnels)
        return {name: [sa for sa in found if sa.tunnel == name] for name in self._tunnels}

    def initiate(self, tunnel: str, child: str) -> None:
        self._charon.initiate(tunnel, child)

    def logs(self) -> dict[Path, str]:
        return {self._log: ""}

    async def _settle(self, _: int) -> None:
        await asyncio.to_thread(self._charon.load)

    def _load(self, settings: bool, certificates: bool) -> None:
        if settings:
            with self._charon.connect() as vici:
                vici.ask("reload-settings")
        self._charon.load(clear=certificates)
