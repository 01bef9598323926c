"""The tower as a program: `bongsu tower run`."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bongsu.system.clock import Clock
from bongsu.tower.server import Tower


def run_tower(directory: Path, ready: Callable[[int, int], None]) -> None:
    """Run the tower until SIGTERM; `ready` hears the ports. Raises TowerError, StoreError, OSError."""

    async def main() -> None:
        tower = Tower(directory, Clock(), sys.stderr)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tower.stop)
        await tower.run(lambda: ready(tower.node_port, tower.enrolment_port))

    # Whatever a library makes in there is for the tower's user only.
    os.umask(0o077)
    asyncio.run(main())
