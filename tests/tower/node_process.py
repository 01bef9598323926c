"""A node as a process that is there to be killed: tells numbered events and figures for ever.

`python -m tests.tower.node_process DIRECTORY RUN`
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bongsu.agent.events import Event
from bongsu.agent.uplink.home import Home
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.uplink import Uplink
from bongsu.system.clock import Clock
from bongsu.wire.messages import Row


def main(directory: Path, run: int) -> None:
    """Until it is killed."""
    recorder = Recorder(time.time_ns)
    uplink = Uplink(Home(directory), recorder, lambda *_: None, Clock())
    uplink.start()
    number = 0
    while True:
        for _ in range(5):
            number += 1
            now = datetime.now(UTC).isoformat()
            details = {"run": run, "n": number}
            recorder.event(Event(number, now, 0, "info", "test", "", "", details))
            recorder.series(f"run-{run}", ("n",), [Row("x", (number,))])
        time.sleep(0.002)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
