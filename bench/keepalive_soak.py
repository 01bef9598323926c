"""What a busy machine makes up: false alarms of keepalives of 10 ms x 3 while nothing fails.

The lab is keepalive_failover.py's. Twice as many busy processes as the machine has cores take all they
can get; every line that goes down in that time is a false alarm.

    sudo .venv/bin/python bench/keepalive_soak.py [--minutes 30]
"""

import argparse
import os
import subprocess
import sys
import time

from bongsu.lab.lab import Lab
from common import Figure, machine, report
from keepalive_failover import events, fast_lab

BUSY = "while True: sum(range(100000))"


def main() -> None:
    """Raise, keep busy, count; print and keep the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    before = machine()
    with fast_lab() as lab:
        figure, note = soak(lab, arguments.minutes)
    report("keepalive_soak", [figure], before=before, notes=[note])


def soak(lab: Lab, minutes: float) -> tuple[Figure, str]:
    """False alarms of both ends while other processes take all the time there is."""
    cores = os.cpu_count() or 1
    since = {node: events(lab, node)[-1]["sequence"] for node in ("a", "b")}
    hogs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2 * cores)]
    alarms = 0
    rest = time.monotonic() + 60 * minutes
    try:
        while (left := rest - time.monotonic()) > 0:
            time.sleep(min(left, 10.0))
            for node in since:
                new = lab.agent(node).call("events", since=since[node], limit=2000)
                alarms += sum(
                    event["kind"] == "line-protocol" and event["details"].get("state") == "down"
                    for event in new
                )
                since[node] = new[-1]["sequence"] if new else since[node]
            print(f"soak: {max(left, 0) / 60:.1f} min left, {alarms} false alarms", flush=True)
        load = os.getloadavg()[0]
        status = lab.agent("a").call("status")["tunnels"][0]["keepalive"]
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    note = (
        f"soak: {minutes:g} min, {2 * cores} busy processes on {cores} cores, load {load:.1f}, "
        f"{status['sent']:,} requests of a sent since the start, {status['lost']:,} lost, "
        f"rtt {status['rtt_ms']}"
    )
    return Figure("false alarms in the soak", "", [alarms], lower_is_better=True), note


if __name__ == "__main__":
    main()
