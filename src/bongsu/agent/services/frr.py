"""FRR as a service: zebra, staticd, bgpd and bfdd, each watched by itself, changed line by line.

A new zebra knows nothing of what the others told the one before, and they do not tell it again: after
zebra they are started anew, too, as FRR's own watchfrr does.

What they have loaded is kept beside their records, mode 0600, for the next agent: from it and the new
text come the lines that differ.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services import frr_steering
from bongsu.agent.services.service import Request, Texts, specifics
from bongsu.agent.supervisor import Supervisor
from bongsu.model.base import Prefix
from bongsu.model.node import RoutingDaemon
from bongsu.plan.node import NodePlan
from bongsu.system import files
from bongsu.system.daemons import frr
from bongsu.system.daemons.frr import FrrDaemon
from bongsu.system.daemons.frr_vty import VtyError, bgp_neighbors, configure, show
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.daemons.standing import Standing

NOT_THERE = "Can't find static route"
"""What bgpd says when it is to give up a network that it does not have."""


class FrrService:
    """FRR's daemons. Belongs to the event loop's thread."""

    name = "frr"

    def __init__(self, state_dir: Path, events: EventLog) -> None:
        self._state_dir = state_dir
        self._integrated = True
        self._ran = False
        self._names: list[str] = []
        """Of the daemons that are to run, dead or alive."""
        self._taken_over: dict[str, set[Prefix]] = {}
        """By connection, the more-specifics that bgpd was given."""
        self.supervisors = {
            name: Supervisor(FrrDaemon(name), state_dir, events, self._settle(name))
            for name in frr.NAMES
        }

    def owns(self, path: Path) -> bool:
        return path.parent == frr.DIRECTORY and path.name in (
            "frr.conf", "daemons", "vtysh.conf", *(f"{name}.conf" for name in frr.NAMES),
        )  # fmt: skip

    def wanted(self, plan: NodePlan) -> bool:
        return plan.routing is RoutingDaemon.FRR

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        if self.wanted(plan):
            frr.check({path: text for path, text in texts.items() if self.owns(path)}, scratch)

    async def apply(self, request: Request) -> None:
        if not self.wanted(request.plan):
            self._names = []
            if await self.stop():
                request.changed("stopped FRR")
            return
        self._integrated, self._ran = request.plan.frr_integrated, True
        wanted = self._names = _daemons(request.texts)
        for name in reversed(frr.NAMES):
            if name not in wanted and await self.supervisors[name].stop():
                request.changed(f"stopped {name}")
        new = _configuration(request.texts)
        started: list[str] = []
        for name in wanted:
            what = await self.supervisors[name].ensure()
            if what == "adopted" and "zebra" in started:
                await self.supervisors[name].stop()
                what = await self.supervisors[name].ensure()
            if what == "started":
                started.append(name)
                request.changed(f"started {name}")
        await self._change(request, new, started)

    async def stop(self) -> bool:
        # The sessions end first, while their routes still stand.
        stopped = [await self.supervisors[name].stop() for name in reversed(frr.NAMES)]
        files.remove(self._loaded)
        return any(stopped)

    def close(self) -> None:
        for supervisor in self.supervisors.values():
            supervisor.close()

    def detach(self) -> None:
        for supervisor in self.supervisors.values():
            supervisor.detach()

    def status(self) -> list[dict[str, Any]]:
        return [self.supervisors[name].status() for name in self._names]

    def clean(self) -> None:
        for name in reversed(frr.NAMES) if self._ran else ():
            FrrDaemon(name).remove_run_files()

    @property
    def process(self) -> int | None:
        """bgpd's pid; None while it does not run or has not its configuration yet."""
        return self.supervisors["bgpd"].process

    def take_over(self, plan: NodePlan, vpn: str, on: bool, lost: Sequence[str] = ()) -> None:
        """Originate the more-specifics of a connection, or no more. Blocks. OSError, VtyError.

        lost: tunnels whose sessions end before: dormant, they would still carry what bgpd says.
        """
        vty = FrrDaemon("bgpd").vty
        # Those that stand alone: one that was closed for too many prefixes would be opened again.
        stand = (
            {n.address for n in bgp_neighbors(vty) if n.state == "Established"} if lost else set()
        )
        for peer in plan.cloud_peers:
            if peer.tunnel in lost and str(peer.address) in stand:
                show(vty, f"clear bgp {peer.address}")
        given = self._taken_over.setdefault(vpn, set())
        lines = [f"router bgp {plan.asn}"]
        for family, word in ((4, "ipv4"), (6, "ipv6")):
            prefixes = specifics(plan, vpn, family)
            wanted = prefixes if on else []
            # Those of a plan before, too; and those of this one, which an earlier agent may have given.
            gone = ({p for p in given if p.version == family} | set(prefixes)) - set(wanted)
            commands = [f"no network {prefix}" for prefix in sorted(gone)]
            commands += [f"network {prefix}" for prefix in wanted]
            if commands:
                lines += [f"address-family {word} unicast", *commands, "exit-address-family"]
            given.update(wanted)
        configure(vty, lines, allowed=NOT_THERE)
        if not on:
            given.clear()

    def steer(self, plan: NodePlan, weak: Collection[str]) -> list[str]:
        """Have the sessions of these tunnels count less, the others not. Blocks. OSError, VtyError."""
        return frr_steering.steer(FrrDaemon("bgpd").vty, plan, weak)

    def lowered(self, plan: NodePlan) -> list[str]:
        """Tunnels whose sessions count less now. Blocks. OSError, VtyError."""
        return frr_steering.lowered(FrrDaemon("bgpd").vty, plan)

    def standing(self, plan: NodePlan) -> dict[str, Standing]:
        """By tunnel whose session stands, what its routes count. Blocks. OSError, VtyError."""
        return frr_steering.standing(FrrDaemon("bgpd").vty, plan)

    def neighbors(self) -> list[BgpNeighbor]:
        """bgpd's sessions; none while it does not answer. Blocks."""
        if not self.supervisors["bgpd"].running:
            return []
        try:
            return bgp_neighbors(FrrDaemon("bgpd").vty)
        except (OSError, VtyError):
            return []

    @property
    def _loaded(self) -> Path:
        return self._state_dir / "frr-loaded.conf"

    def _settle(self, name: str) -> Any:
        async def load(_: int) -> None:
            if self._integrated:
                await asyncio.to_thread(FrrDaemon(name).load)
            if name == "zebra":
                for other in self.supervisors.values():
                    if other.running and other is not self.supervisors[name]:
                        await other.stop()
                        await other.ensure()

        return load

    async def _change(self, request: Request, new: str, started: Iterable[str]) -> None:
        """Give those that ran already the lines that differ from what they had."""
        old = _read(self._loaded)
        fresh = set(started) >= set(_daemons(request.texts))
        if old is not None and old != new and not fresh:
            count = await asyncio.to_thread(frr.reload, old, new, self._state_dir)
            if count:
                request.changed(f"FRR: {count} lines given to the running daemons")
        if old is None and not fresh:
            # Nobody knows what they have: all of it once more, which changes nothing that stands.
            await asyncio.to_thread(frr.reload, "", new, self._state_dir)
            request.changed("FRR: the whole configuration given to the running daemons")
        if old != new:
            files.write_atomic(self._loaded, new, 0o600)


def _configuration(texts: Texts) -> str:
    """All lines, of one file or of several."""
    names = ("frr.conf", *(f"{name}.conf" for name in frr.NAMES))
    parts = [texts[frr.DIRECTORY / name] for name in names if frr.DIRECTORY / name in texts]
    return "".join(parts)


def _daemons(texts: Texts) -> list[str]:
    """Those that run by /etc/frr/daemons, zebra and staticd always, in the order of their starts."""
    said = texts.get(frr.DAEMONS, "").splitlines()
    return [name for name in frr.NAMES if name in ("zebra", "staticd") or f"{name}=yes" in said]


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
