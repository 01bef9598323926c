"""One tunnel, and what is known of it."""

import time
from dataclasses import dataclass, field
from typing import Any

from bongsu.agent.vpn.coverage import Gap, gaps
from bongsu.agent.vpn.echo import Echo
from bongsu.plan.selectors import Child
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.link import Evidence, LinkMachine
from bongsu.protocol.link.diagnosis import Diagnosis
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.ipsec.state import EspSa, IkeSa, best, carried

AGAIN_FIRST_S = 3.0
"""How long a tunnel that nobody negotiates waits until it is begun again, the first time."""


@dataclass
class Watched:
    """Belongs to the event loop's thread."""

    plan: VpnTunnelPlan
    machine: LinkMachine
    since: float
    """CLOCK_MONOTONIC: when the verdict last changed."""
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    association: IkeSa | None = None
    esp: tuple[EspSa, ...] = ()
    """All that carries, whichever association it belongs to."""
    gaps: tuple[Gap, ...] = ()
    """Pairs of selectors that nothing carries."""
    neighbor: BgpNeighbor | None = None
    echo: Echo | None = None
    evidence: Evidence = field(default_factory=Evidence)
    told: str = ""
    """The cause that was told last, its code."""
    last_change: dict[str, Any] | None = None
    rekeys: int = 0
    """ESP associations after the first, while the tunnel stood."""
    fell_ns: int = 0
    heard_ns: int = 0
    """When something of IKE last came from the far end."""
    wait_s: float = AGAIN_FIRST_S
    again_at: float = 0.0

    def note(self, associations: list[IkeSa], children: list[Child]) -> None:
        """Take in what the IKE daemon has now: what is another one than at the last look?"""
        before, had = self.association, self.esp
        now = self.association = best(associations)
        self.esp = carried(associations)
        self.gaps = gaps(children, [sa for ike in associations for sa in ike.esp])
        if now is None or not self.esp:
            return
        if not self.gaps:
            self.diagnosis.stands()
            self.wait_s = AGAIN_FIRST_S
        if not had:
            if self.echo is not None:
                self.echo.begin()
            return
        known = {sa.child for sa in had}
        fresh = {sa.id for sa in self.esp if sa.child in known} - {sa.id for sa in had}
        if fresh:
            self.rekeys += 1
        if before is None or now.id != before.id or fresh:
            # Somebody answered: keys are agreed by two.
            self.heard_ns = time.monotonic_ns()

    def mended(self) -> None:
        """What kept it down may be gone, such as a wrong key: who waits to call waits no longer."""
        self.wait_s = AGAIN_FIRST_S
        if self.again_at:
            self.again_at = time.monotonic()

    def lost(self) -> None:
        """Its daemon is gone, and what it held with it."""
        self.association, self.esp, self.gaps = None, (), ()
