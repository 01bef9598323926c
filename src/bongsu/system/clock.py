"""The two clocks, to be handed to what needs one: tests hand over their own."""

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """This machine's. Timers read `now`; `utc` is for what ends at a time of day, and for people."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The time of day."""
        return datetime.now(UTC)

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Until the event, or until `now` is `until`, whichever comes first."""
        if until is None:
            await event.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, until - self.now())):
                await event.wait()
        except TimeoutError:
            return


def unix_ns(at: datetime) -> int:
    """Nanoseconds since 1970, as the wire has them."""
    return int(at.timestamp() * 1_000_000) * 1000
