"""Opens a tunnel to routing and closes it, as its verdict says; one without an interface to selectors."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bongsu.agent.events import EventLog
from bongsu.agent.services.ipsec import IpsecService
from bongsu.agent.vpn.watched import Watched
from bongsu.model.vpn import Binding
from bongsu.system.ipsec import interfaces


class Line:
    """Belongs to the event loop's thread."""

    def __init__(
        self, events: EventLog, worker: ThreadPoolExecutor, failed: Callable[[str, Exception], None]
    ) -> None:
        self._events = events
        self._worker = worker
        self._failed = failed
        self._leading: list[str] = []

    async def follow(self, one: Watched, *, dormant: bool) -> None:
        """Have the interface as the verdict is. Never raises.

        dormant: routing goes by the operational state, else by the carrier.
        """
        name, up = one.plan.name, one.machine.verdict.carries
        if one.plan.binding is Binding.POLICY:
            return
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(
                self._worker, lambda: interfaces.set_line(name, up, dormant=dormant)
            )
        except Exception as error:
            self._failed(f"line of {name}", error)
            return
        if done:
            state = "open" if up else "closed"
            self._events.add("carrier", name, f"{state} to routing", state="up" if up else "down")

    async def order(self, ipsec: IpsecService, watched: Sequence[Watched]) -> None:
        """Have the first tunnel by policy that carries lead, of those with the same selectors.

        Never raises.
        """
        policies = [one for one in watched if one.plan.binding is Binding.POLICY]
        names = [one.plan.name for one in policies if one.machine.verdict.carries]
        if not policies:
            return
        loop = asyncio.get_running_loop()
        try:
            changed = await loop.run_in_executor(self._worker, ipsec.lead, names)
        except Exception as error:
            self._failed("order of tunnels", error)
            return
        before, self._leading = self._leading, names
        for one in policies if changed else ():
            up = one.plan.name in names
            if up != (one.plan.name in before):
                self._events.add(
                    "carrier", one.plan.name, f"{'open' if up else 'closed'} to its selectors",
                    state="up" if up else "down",
                )  # fmt: skip
