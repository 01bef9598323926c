"""BIRD as a service: its configuration and its secrets' file."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from bongsu.agent.events import EventLog
from bongsu.agent.services import bird_steering
from bongsu.agent.services.service import Request, Texts, identity, specifics
from bongsu.agent.services.single import SingleService
from bongsu.agent.supervisor import Supervisor
from bongsu.plan.node import NodePlan
from bongsu.render.bird.cloud import cloud_protocol, takeover_protocol
from bongsu.system.daemons.bird import CONFIG, SECRETS, Bird
from bongsu.system.daemons.birdctl import BirdError
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.daemons.standing import Standing

ASK_S = 2.0


class BirdService(SingleService):
    """One BIRD. Belongs to the event loop's thread."""

    name = "bird"

    def __init__(self, state_dir: Path, events: EventLog, bird: Bird | None = None) -> None:
        self.bird = bird or Bird()
        self.supervisor = Supervisor(self.bird, state_dir, events)
        self._wanted = True
        self._taking_over: set[str] = set()
        """Protocols that are enabled though the file disables them."""
        self._steered: tuple[NodePlan, frozenset[str]] | None = None
        """Tunnels whose sessions count less, of which plan."""
        self._secret_text: Callable[[], str | None] = lambda: None

    def use_secrets(self, text: Callable[[], str | None]) -> None:
        """Where the text of the secrets' file is found when a configuration is checked."""
        self._secret_text = text

    def owns(self, path: Path) -> bool:
        return path == CONFIG

    def wanted(self, plan: NodePlan) -> bool:  # noqa: ARG002  its file says it
        return True

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:  # noqa: ARG002
        if CONFIG in texts:
            self.bird.check(texts[CONFIG], self._secret_text(), scratch)

    async def apply(self, request: Request) -> None:
        self._wanted = CONFIG in request.texts
        if not self._wanted:
            if await self.supervisor.stop():
                request.changed("stopped bird")
            return
        loaded = [identity(CONFIG), identity(SECRETS)]
        what = await self.supervisor.ensure()
        if what == "started":
            request.changed("started bird")
        elif loaded != self.supervisor.loaded:
            request.changed(f"bird: {await asyncio.to_thread(self._reload)}")
        if loaded != self.supervisor.loaded:
            self.supervisor.remember(loaded)

    def status(self) -> list[dict[str, Any]]:
        return super().status() if self._wanted else []

    def clean(self) -> None:
        self.bird.remove_run_files()

    @property
    def process(self) -> int | None:
        """Its pid; None while it does not run or has not its configuration yet."""
        return self.supervisor.process

    def take_over(self, plan: NodePlan, vpn: str, on: bool, lost: Sequence[str] = ()) -> None:
        """Originate the more-specifics of a connection, or no more. Blocks. OSError, BirdError.

        lost: tunnels whose sessions end before: the kernel takes up to a second to close a line.
        """
        names = [takeover_protocol(f, vpn) for f in (4, 6) if specifics(plan, vpn, f)]
        # Noted first: a reload in between finds it.
        if on:
            self._taking_over.update(names)
        else:
            self._taking_over.difference_update(names)
        with self.bird.connect(ASK_S) as control:
            for peer in plan.cloud_peers:
                if peer.tunnel in lost:
                    control.ask(f"restart {cloud_protocol(peer)}")
            for name in names:
                control.ask(f"{'enable' if on else 'disable'} {name}")

    def steer(self, plan: NodePlan, weak: Collection[str]) -> list[str]:
        """Have the sessions of these tunnels count less, the others not. Blocks. OSError, BirdError."""
        # Noted first: a reload in between finds it.
        self._steered = plan, frozenset(weak)
        with self.bird.connect(ASK_S) as control:
            return bird_steering.steer(control, plan, weak)

    def lowered(self, plan: NodePlan) -> list[str]:
        """Tunnels whose sessions count less now. Blocks. OSError, BirdError."""
        with self.bird.connect(ASK_S) as control:
            return bird_steering.lowered(control, plan)

    def standing(self, plan: NodePlan) -> dict[str, Standing]:
        """By tunnel whose session stands, what its routes count. Blocks. OSError, BirdError."""
        with self.bird.connect(ASK_S) as control:
            return bird_steering.standing(control, plan)

    def neighbors(self) -> list[BgpNeighbor]:
        """Its BGP sessions; none while it does not answer. Blocks."""
        if not self.supervisor.running:
            return []
        try:
            with self.bird.connect(ASK_S) as control:
                return control.bgp_neighbors()
        except (OSError, BirdError):
            return []

    def _reload(self) -> str:
        with self.bird.connect() as control:
            said = control.configure()
            # BIRD has put every protocol into the state that its file says.
            for name in sorted(self._taking_over):
                try:
                    control.ask(f"enable {name}")
                except BirdError:
                    self._taking_over.discard(name)
            if self._steered is not None and self._steered[1]:
                bird_steering.steer(control, *self._steered)
            return said
