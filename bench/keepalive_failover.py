"""Silent death of a tunnel to traffic on the other path, and what a busy machine makes up.

The lab is Cisco's example (examples/gre-keepalive.yaml) with `keepalive` of 10 ms x 3 and shorter
wires: two routers, a tunnel between their loopbacks, and a floating static route beside it. A fault is
silent: the wire loses everything in both directions while its carrier stays. A host behind one router
probes a host behind the other all the while; the outage is counted from its first lost probe to
its next answered one, and the agents' own events say what happened when in between.

Then the soak: nothing fails, and as many busy processes as the machine has cores, twice, take all they
can get. Every line that goes down in that time is a false alarm.

    sudo .venv/bin/python bench/keepalive_failover.py [--faults 1000] [--soak-minutes 30]
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bongsu.intent import load_text
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab, settle
from bongsu.lab.probe.pinger import Pinger
from bongsu.lab.probe.survey import sources
from common import Figure, machine, report

EXAMPLE = Path(__file__).parents[1] / "examples" / "gre-keepalive.yaml"
CHANGES = {
    "keepalive: {seconds: 5, retries: 4}": "keepalive: {milliseconds: 10, retries: 3}",
    "delay_ms: 5,": "delay_ms: 1,",
    "delay_ms: 20,": "delay_ms: 2,",
}
FAULT = "silent-loss:a/eth0"
PROBE_S = 0.002
DEAD_S, ALIVE_S = 0.35, 0.35
SETTLE_S, RECOVER_S = 60.0, 10.0
EVENTS = 400
BUSY = "while True: sum(range(100000))"


def main() -> None:
    """Raise, break a thousand times, soak; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--soak-minutes", type=float, default=30)
    arguments = parser.parse_args()
    before = machine()
    text = EXAMPLE.read_text()
    for old, new in CHANGES.items():
        assert old in text, old
        text = text.replace(old, new)
    network = load_text(text, EXAMPLE.name).network
    lab = raise_lab(network, EXAMPLE, text, name="bench-keepalive", keep=False)
    figures: list[Figure] = []
    notes: list[str] = []
    try:
        if missing := settle(lab, SETTLE_S):
            raise SystemExit(f"the lab has not settled: {missing}")
        if arguments.faults:
            figures += faults(lab, arguments.faults)
        if arguments.soak_minutes:
            soaked, note = soak(lab, arguments.soak_minutes)
            figures.append(soaked)
            notes.append(note)
    finally:
        remove_lab(lab.name)
    notes.append(f"a probe each {1000 * PROBE_S:g} ms; a fault strikes at any time of an interval")
    report("keepalive_failover", figures, before=before, notes=notes)


def faults(lab: Lab, count: int) -> list[Figure]:
    """Outages, and what led to their end."""
    pinger = Pinger(sources(lab, lab.target("pc-b"), ["pc-a"]), PROBE_S).start()
    detected, moved = [], []
    struck: list[int] = []
    try:
        time.sleep(1.0)
        for number in range(count):
            time.sleep(random.random() / 20)
            at = bring_in(lab, FAULT).at_ns
            struck.append(at)
            time.sleep(DEAD_S)
            trail = events(lab, "a")
            heal(lab, FAULT)
            wait_until_up(lab)
            detected.append(first(trail, at, "line-protocol", "detected_ns"))
            moved.append(first(trail, at, "route", "monotonic_ns"))
            time.sleep(ALIVE_S)
            if number % 50 == 49:
                print(f"{number + 1} of {count} faults", flush=True)
    finally:
        series = pinger.stop()[0]
    sent, rtt = np.array(series.sent_ns), np.array(series.rtt_ns)
    outages = [outage(sent, rtt, at) for at in struck]
    returns = [
        float(np.count_nonzero(rtt[(sent > at + 0.3e9) & (sent < at + 0.7e9)] < 0)) for at in struck
    ]
    return [
        Figure("silent death: outage", "ms", outages, lower_is_better=True),
        Figure("line protocol down after", "ms", known(detected), lower_is_better=True),
        Figure("route moved after", "ms", known(moved), lower_is_better=True),
        Figure("probes lost on the way back", "", returns, lower_is_better=True),
    ]


def outage(sent: npt.NDArray[np.int64], rtt: npt.NDArray[np.int64], at: int) -> float:
    """The longest gap around a fault, ms: first lost probe to next answered one."""
    window = (sent > at - 20_000_000) & (sent < at + round(DEAD_S * 1e9))
    longest, began = 0, None
    for when, took in zip(sent[window].tolist(), rtt[window].tolist(), strict=True):
        if took < 0:
            began = when if began is None else began
        elif began is not None:
            longest, began = max(longest, when - began), None
    if began is not None:
        longest = max(longest, int(sent[window][-1]) - began)
    return longest / 1e6


def events(lab: Lab, node: str) -> list[dict[str, Any]]:
    """The last of what its agent tells."""
    found: list[dict[str, Any]] = lab.agent(node).call("events", limit=EVENTS)
    return found


def first(trail: list[dict[str, Any]], at: int, kind: str, field: str) -> float | None:
    """Milliseconds from the fault to the first event of a kind that followed."""
    for event in trail:
        moment = event["details"].get(field, event.get(field))
        if event["kind"] == kind and event["monotonic_ns"] > at and moment is not None:
            return float((moment - at) / 1e6)
    return None


def known(values: list[float | None]) -> list[float]:
    """Those that there are; a fault without a trace would be a defect."""
    found = [value for value in values if value is not None]
    if len(found) != len(values):
        print(f"{len(values) - len(found)} faults left no event", flush=True)
    return found or [float("nan")]


def wait_until_up(lab: Lab) -> None:
    """Both ends' line protocol is up again. SystemExit if it does not come."""
    deadline = time.monotonic() + RECOVER_S
    while time.monotonic() < deadline:
        states = [
            tunnel["line_protocol"]
            for node in ("a", "b")
            for tunnel in lab.agent(node).call("status")["tunnels"]
        ]
        if set(states) == {"up"}:
            return
        time.sleep(0.02)
    raise SystemExit(f"the tunnel did not come back within {RECOVER_S:g} s")


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
        f"{status['sent']:,} requests of a sent since the start, {status['lost']:,} lost in all "
        f"(faults included), rtt {status['rtt_ms']}"
    )
    return Figure("false alarms in the soak", "", [alarms], lower_is_better=True), note


if __name__ == "__main__":
    main()
