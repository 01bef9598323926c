"""Libreswan on a kernel with ESP, as a service: one pluto, VTIs or XFRM interfaces."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services import kernel_interfaces
from bongsu.agent.services.service import Request, Texts, identity
from bongsu.agent.supervisor import Supervisor
from bongsu.plan.node import NodePlan
from bongsu.render.libreswan.render import certificate_name
from bongsu.system import files
from bongsu.system.daemons.pluto import Pluto
from bongsu.system.ipsec import interfaces, nss
from bongsu.system.ipsec.state import IkeSa
from bongsu.system.run import RunError

CONNECTIONS = Path("/etc/ipsec.d/bongsu.conf")
SECRETS = Path("/etc/ipsec.d/bongsu.secrets")
_PART = re.compile(r"_\d+$")
"""Further pairs of selectors of one tunnel (bongsu.plan.selectors)."""


class LibreswanService:
    """One pluto. Belongs to the event loop's thread."""

    name = "libreswan"

    def __init__(self, state_dir: Path, events: EventLog, worker: ThreadPoolExecutor) -> None:
        self._pluto = Pluto()
        self._worker = worker
        self._tunnels: list[str] = []
        self._ran = False
        self._log = state_dir / "pluto.log"
        self._loaded = state_dir / "pluto-loaded.conf"
        self.supervisor = Supervisor(self._pluto, state_dir, events)

    def owns(self, path: Path) -> bool:
        return path in (CONNECTIONS, SECRETS)

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:  # noqa: ARG002
        if CONNECTIONS in texts:
            self._pluto.check(texts[CONNECTIONS], scratch)

    async def apply(self, request: Request) -> None:
        self._tunnels, self._ran = [tunnel.name for tunnel in request.plan.vpns], True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, kernel_interfaces.build, request)
        await asyncio.to_thread(self._certificates, request)
        text = request.texts.get(CONNECTIONS, "")
        loaded = [identity(CONNECTIONS), identity(SECRETS)]
        if await self.supervisor.ensure() == "started":
            request.changed("started pluto")
        elif self.supervisor.loaded != loaded:
            touched = await asyncio.to_thread(self._pluto.reload, self._before(), text)
            request.changed("pluto: read the keys" + "".join(f", reloaded {n}" for n in touched))
        if self.supervisor.loaded != loaded:
            files.write_atomic(self._loaded, text, 0o600)
            self.supervisor.remember(loaded)

    async def stop(self) -> bool:
        files.remove(self._loaded)
        return await self.supervisor.stop()

    def close(self) -> None:
        self.supervisor.close()

    def detach(self) -> None:
        self.supervisor.detach()

    def status(self) -> list[dict[str, Any]]:
        return [self.supervisor.status()]

    def clean(self) -> None:
        if self._ran:
            self._pluto.remove_run_files()
        interfaces.remove_all()

    def associations(self) -> dict[str, list[IkeSa] | None]:
        try:
            found = [
                replace(sa, tunnel=_PART.sub("", sa.tunnel)) for sa in self._pluto.associations()
            ]
        except (OSError, RunError):
            return dict.fromkeys(self._tunnels)
        return {name: [sa for sa in found if sa.tunnel == name] for name in self._tunnels}

    def initiate(self, tunnel: str, child: str) -> None:  # noqa: ARG002  a child is a connection
        self._pluto.initiate(child)

    def logs(self) -> dict[Path, str]:
        return {self._log: ""}

    def _certificates(self, request: Request) -> None:
        nss.prepare(self._pluto.nss)
        for tunnel in request.plan.vpns:
            if tunnel.certificate is None:
                continue
            name, own = certificate_name(tunnel.vpn), tunnel.certificate
            key = request.secret(own.key)
            if nss.put(self._pluto.nss, name, Path(own.certificate), key, Path(own.ca),
                       self._loaded.parent):  # fmt: skip
                request.changed(f"put certificate {name} into {self._pluto.nss}")

    def _before(self) -> str:
        try:
            return self._loaded.read_text()
        except OSError:
            return ""
