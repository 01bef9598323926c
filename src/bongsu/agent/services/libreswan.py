"""Libreswan on a kernel with ESP, as a service: one pluto, VTIs or XFRM interfaces."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bongsu.agent.certificates import read_certificates
from bongsu.agent.events import EventLog
from bongsu.agent.services import kernel_interfaces
from bongsu.agent.services.service import Request, Texts, identity
from bongsu.agent.services.single import SingleService
from bongsu.agent.supervisor import Supervisor
from bongsu.model.base import SecretRef
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.libreswan import certificates
from bongsu.render.libreswan.certificates import Proof
from bongsu.system import files
from bongsu.system.daemons.pluto import Pluto
from bongsu.system.ipsec import interfaces, nss
from bongsu.system.ipsec.nss import Entry
from bongsu.system.ipsec.state import IkeSa
from bongsu.system.run import RunError

CONNECTIONS = Path("/etc/ipsec.d/bongsu.conf")
SECRETS = Path("/etc/ipsec.d/bongsu.secrets")
CERTIFICATES = Path(certificates.CERTIFICATES)
HEADER = ["Made by bongsu from the certificates on this node; not part of any bundle."]
_PART = re.compile(r"_\d+$")
"""Further pairs of selectors of one tunnel (bongsu.plan.selectors)."""


class LibreswanService(SingleService):
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

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        if CONNECTIONS not in texts:
            return
        proofs = _proofs(plan)
        if refusals := certificates.refusals(proofs):
            raise ValueError("\n".join(refusals))
        made = certificates.document(proofs, HEADER)
        self._pluto.check(f"{texts[CONNECTIONS]}\n{made}", scratch)

    async def apply(self, request: Request) -> None:
        self._tunnels, self._ran = [tunnel.name for tunnel in request.plan.vpns], True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, kernel_interfaces.build, request)
        proofs, by_name = await asyncio.to_thread(self._certificates, request)
        text = certificates.expanded(request.texts.get(CONNECTIONS, ""), proofs)
        loaded = [identity(CONNECTIONS), identity(SECRETS), [one.fingerprint for one in proofs]]
        if await self.supervisor.ensure() == "started":
            request.changed("started pluto")
        elif self.supervisor.loaded != loaded:
            done = await asyncio.to_thread(
                self._pluto.reload, self._before(), text, by_name=by_name
            )
            request.changed(", ".join(["pluto: read the keys", *done]))
        if self.supervisor.loaded != loaded:
            await asyncio.to_thread(self._hold, text)
            files.write_atomic(self._loaded, text, 0o600)
            self.supervisor.remember(loaded)
        await asyncio.to_thread(self._prune, request, proofs)

    async def stop(self) -> bool:
        files.remove(self._loaded)
        return await super().stop()

    def clean(self) -> None:
        if self._ran:
            self._pluto.remove_run_files()
        interfaces.remove_all()
        self.forget()

    def forget(self) -> bool:
        """Take certificates and keys out of Libreswan's database. False if there were none. RunError."""
        gone = nss.prune(self._pluto.nss, [], self._loaded.parent)
        return files.remove(CERTIFICATES) or bool(gone)

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

    def _certificates(self, request: Request) -> tuple[list[Proof], bool]:
        """Have them in the database and say which they are; and whether pluto finds them by name."""
        proofs, store = _proofs(request.plan), self._pluto.nss
        nss.prepare(store)
        by_name = certificates.named_apart(proofs, nss.held(store))
        for entry in nss.put(store, _entries(proofs, request), self._loaded.parent):
            request.changed(f"put certificate {entry.name} into {store}")
        if not proofs:
            files.remove(CERTIFICATES)
        elif files.write_atomic(CERTIFICATES, certificates.document(proofs, HEADER), 0o600):
            request.changed(f"wrote {CERTIFICATES}")
        return proofs, by_name

    def _prune(self, request: Request, proofs: list[Proof]) -> None:
        """What is not wanted goes once pluto has no use for it."""
        store = self._pluto.nss
        for name in nss.prune(store, _entries(proofs, request), self._loaded.parent):
            request.changed(f"took certificate {name} out of {store}")

    def _hold(self, text: str) -> None:
        """Rather no tunnel than one that takes any authority's word."""
        if loose := self._pluto.loose(text):
            for name in loose:
                self._pluto.delete(name)
            raise ValueError(
                f"Libreswan does not hold {', '.join(loose)} to its authority: removed"
            )

    def _before(self) -> str:
        try:
            return self._loaded.read_text()
        except OSError:
            return ""


def _proofs(plan: NodePlan) -> list[Proof]:
    versions = {tunnel.vpn: tunnel.ike_version for tunnel in plan.vpns}
    return [
        Proof(vpn, own, ca, versions[vpn])
        for vpn, (own, ca) in sorted(read_certificates(plan).items())
    ]


def _entries(proofs: list[Proof], request: Request) -> list[Entry]:
    named = {tunnel.vpn: tunnel for tunnel in request.plan.vpns}
    own = [Entry(f"bongsu-{one.vpn}", one.certificate, request.secret(_key(named[one.vpn])))
           for one in proofs]  # fmt: skip
    return own + [Entry(f"bongsu-{one.vpn}-ca", one.authority) for one in proofs]


def _key(tunnel: VpnTunnelPlan) -> SecretRef:
    assert tunnel.certificate is not None
    return tunnel.certificate.key
