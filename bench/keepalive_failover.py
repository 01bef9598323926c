"""Silent death of a tunnel to traffic on the other path, a thousand times.

The lab is Cisco's example (examples/gre-keepalive.yaml) with `keepalive` of 10 ms x 3 and shorter
wires: two routers, a tunnel between their loopbacks, and a floating static route beside it. A fault is
silent: the wire loses everything in both directions while its carrier stays. A host behind one router
probes a host behind the other all the while; the outage is counted from its first lost probe to
its next answered one, and the agents' own events say what happened when in between.

    sudo .venv/bin/python bench/keepalive_failover.py [--faults 1000]
"""

import argparse
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def main() -> None:
    """Raise, break, heal; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    arguments = parser.parse_args()
    before = machine()
    with fast_lab() as lab:
        figures = faults(lab, arguments.faults)
    notes = [f"a probe each {1000 * PROBE_S:g} ms; a fault strikes at any time of an interval"]
    report("keepalive_failover", figures, before=before, notes=notes)


@contextmanager
def fast_lab() -> Iterator[Lab]:
    """The lab of the example with keepalives of 10 ms x 3, settled."""
    text = EXAMPLE.read_text()
    for old, new in CHANGES.items():
        assert old in text, old
        text = text.replace(old, new)
    network = load_text(text, EXAMPLE.name).network
    lab = raise_lab(network, EXAMPLE, text, name="bench-keepalive", keep=False)
    try:
        if missing := settle(lab, SETTLE_S):
            raise SystemExit(f"the lab has not settled: {missing}")
        yield lab
    finally:
        remove_lab(lab.name)


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


if __name__ == "__main__":
    main()
