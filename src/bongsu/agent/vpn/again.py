"""Begins anew what nobody negotiates: refused once, strongSwan waits for somebody to ask."""

import asyncio
import time
from collections.abc import Callable, Iterable

from bongsu.agent.services.node import NodeServices
from bongsu.agent.vpn.watched import Watched
from bongsu.system.ipsec.state import IkeState

MOST_S = 60.0
"""What the wait between two calls grows to: doubled each time."""
ESP_S = 10.0
"""How long the second half of a negotiation may take before it is begun again."""


class Again:
    """Belongs to the event loop's thread."""

    def __init__(self, services: NodeServices, failed: Callable[[str, Exception], None]) -> None:
        self._services = services
        self._failed = failed

    async def look(self, watched: Iterable[Watched]) -> None:
        """Call where it is time to: for every pair of selectors that is missing. Never raises."""
        now = time.monotonic()
        for one in list(watched):
            absent = missing(one)
            if not absent:
                one.again_at = 0.0
                continue
            if not one.again_at:
                # With IKE up, ESP is being negotiated: asked too soon, a slow end makes two of it.
                half = one.association is not None
                one.again_at = now + (max(one.wait_s, ESP_S) if half else one.wait_s)
            if now < one.again_at:
                continue
            one.again_at, one.wait_s = 0.0, min(2 * one.wait_s, MOST_S)
            for child in absent:
                try:
                    await asyncio.to_thread(self._services.ipsec.initiate, one.plan.name, child)
                except Exception as error:
                    self._failed(f"initiate {child}", error)


def missing(one: Watched) -> list[str]:
    """The negotiations that have to be asked for; none while one is on its way, or is not ours to begin."""
    sa = one.association
    if one.plan.start != "initiate" or not one.evidence.daemon:
        return []
    if sa is not None and sa.state is IkeState.CONNECTING:
        return []
    return list(dict.fromkeys(gap.child for gap in one.gaps if not gap.narrowed))
