"""How long the world is without service when a PoP dies without a word.

Every fault is silent: the PoP's only link loses everything in both directions while its carrier
stays, and its provider goes on announcing the prefix. Probes leave six vantage points every 5 ms.
Measured in labs raised one after the other in this run:

- takeover, BFD 10 ms x 3, 30 ms x 3 and 100 ms x 3: BFD tells home, home tells the other PoP, and
  that one announces the more-specifics;
- hold timer: the same network without it, as one would build it by hand: the provider's hold timer
  (9 s here; 90 s is common) has to run out first.

    sudo .venv/bin/python bench/failover.py [--faults 100] [--others 20] [--hold-faults 3]
"""

import argparse
import time
from pathlib import Path

from bongsu.intent import load_text
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab, settle
from bongsu.lab.outage import measure
from bongsu.lab.probe.survey import sources
from common import Figure, Ratio, machine, report

EXAMPLE = Path(__file__).parents[1] / "examples" / "anycast.yaml"
EXAMPLE_BFD = "bfd: {interval_ms: 30, multiplier: 3}"
TAKEOVER = ", deaggregate_on_failure: 24"
PASSWORD = "password: env:"
HOLD_S = 9
SETTLE_S = 60.0
LIMIT_S = 60.0


def main() -> None:
    """Raise, break, mend, count; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=100, help="with BFD 10 ms x 3")
    parser.add_argument("--others", type=int, default=20, help="with slower BFD")
    parser.add_argument("--hold-faults", type=int, default=3, help="without takeover")
    arguments = parser.parse_args()
    before = machine()
    text = EXAMPLE.read_text()
    assert EXAMPLE_BFD in text
    assert TAKEOVER in text
    figures = []
    for interval_ms in (10, 30, 100):
        count = arguments.faults if interval_ms == 10 else arguments.others
        changed = text.replace(EXAMPLE_BFD, f"bfd: {{interval_ms: {interval_ms}, multiplier: 3}}")
        figures += outages(f"takeover, BFD {interval_ms} ms x 3", changed, count)
    by_hand = text.replace(TAKEOVER, "").replace(PASSWORD, f"hold_s: {HOLD_S}, {PASSWORD}")
    hand = outages(f"hold timer {HOLD_S} s", by_hand, arguments.hold_faults)
    pairs = len(hand[0].runs)
    first = Figure(figures[0].name, "ms", figures[0].runs[:pairs], lower_is_better=True)
    ratio = Ratio("hold timer / takeover, those served by the lost PoP", hand[0], first)
    report(
        "failover",
        [*figures, *hand],
        [ratio],
        before=before,
        notes=["Each run is one fault; its figure is the vantage point that suffered longest."],
    )


def outages(name: str, text: str, count: int) -> list[Figure]:
    """The worst vantage point's outage of each fault, the two PoPs in turn.

    Two figures: those whom the lost PoP served, and the others (replies of theirs may have gone
    by it).
    """
    network = load_text(text, EXAMPLE.name).network
    lab = raise_lab(network, EXAMPLE, text, name="bench-failover", keep=False)
    served: list[float] = []
    others: list[float] = []
    try:
        for number in range(count):
            pop = ("seoul", "tokyo")[number % 2]
            worst = one_fault(lab, pop)
            served.append(worst[0])
            others.append(worst[1])
            print(f"{name}: {number + 1}/{count} {pop} {worst[0]:.0f} ms", flush=True)
    finally:
        remove_lab(lab.name)
    return [
        Figure(name, "ms", served, lower_is_better=True, note="served by the lost PoP"),
        Figure(name, "ms", others, lower_is_better=True, note="served by the other"),
    ]


def one_fault(lab: Lab, pop: str) -> tuple[float, float]:
    """Silence the PoP once; the worst outage in ms of those it served and of the others."""
    missing = settle(lab, SETTLE_S)
    if missing:
        raise SystemExit(f"the lab has not settled: {missing}")
    target = lab.target("web")
    transit = {
        "seoul": ("transit-kr", "transit-ru"),
        "tokyo": ("transit-jp", "transit-us", "transit-sg"),
    }
    spec = lab.network.lab
    assert spec is not None
    fault = f"silent-loss:{pop}"
    outage = measure(sources(lab, target), lambda: bring_in(lab, fault).at_ns, limit_s=LIMIT_S)
    heal(lab, fault)
    if not outage.recovered:
        raise SystemExit(f"service did not come back within {LIMIT_S:g} s")
    mine = [n for n, vantage in spec.vantages.items() if vantage.to in transit[pop]]
    time.sleep(0.2)
    return (
        max(outage.gap_ms[name] for name in mine),
        max(gap for name, gap in outage.gap_ms.items() if name not in mine),
    )


if __name__ == "__main__":
    main()
