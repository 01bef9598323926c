"""What every service of one daemon does alike."""

from typing import Any

from bongsu.agent.supervisor import Supervisor


class SingleService:
    """A service with one daemon. Belongs to the event loop's thread."""

    supervisor: Supervisor

    async def stop(self) -> bool:
        return await self.supervisor.stop()

    def close(self) -> None:
        self.supervisor.close()

    def detach(self) -> None:
        self.supervisor.detach()

    def status(self) -> list[dict[str, Any]]:
        return [self.supervisor.status()]
