"""Document B's table: 17,280 probes by the Internet's own way, and as many by the accelerator.

examples/accelerated-vpn.yaml on this machine: between the two gateways a link that loses half of what
goes there and back, its delay unsteady; beside it the accelerator, with a path through a third PoP. The
direct way is asked from gateway to gateway, bare; the accelerated one from host to host, through
IPsec and all. Both at the same time.

    sudo .venv/bin/python bench/accelerator_path.py [--rounds N] [--probes N] [--chart FILE.svg]
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bongsu.intent import load_text
from bongsu.lab.lifecycle import raise_lab, remove_lab, settle
from bongsu.system.run import run
from common import Figure, Ratio, machine, report

EXAMPLE = Path(__file__).parents[1] / "examples" / "accelerated-vpn.yaml"
DIRECT, ACCELERATED = "gw-shanghai,198.51.100.11", "vm-shanghai,vm-seoul"
INTERVAL_MS = 10
LAB = "bench-accelerated"
PATIENCE_S = 60.0
SECONDS = 120.0


def main() -> None:
    """Raise the lab, compare, print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probes", type=int, default=17280, help="each way, each round")
    parser.add_argument("--chart", type=Path, help="RTT and loss of the first round over time")
    arguments = parser.parse_args()
    before = machine()
    text = EXAMPLE.read_text()
    lab = raise_lab(load_text(text, EXAMPLE.name).network, EXAMPLE, text, name=LAB, keep=False)
    found = []
    try:
        settle(lab, PATIENCE_S)
        for number in range(arguments.rounds):
            chart = arguments.chart if number == 0 else None
            found.append(compared(arguments.probes, chart))
            a, b = found[-1]["a"], found[-1]["b"]
            print(
                f"{number + 1}/{arguments.rounds}: direct {a['loss']:.2%} lost, {a['avg_ms']:.1f} ms; "
                f"accelerated {b['lost']} lost, {b['avg_ms']:.1f} ms",
                file=sys.stderr,
                flush=True,
            )
    finally:
        remove_lab(lab.name)
    kinds = (("lost", "probes"), ("avg_ms", "ms"), ("p50_ms", "ms"), ("p99_ms", "ms"),
             ("stdev_ms", "ms"), ("worst_ms", "ms"))  # fmt: skip
    figures = {
        (way, kind): Figure(
            f"{kind.removesuffix('_ms')}, {name}",
            unit,
            [float(one[way][kind]) for one in found],
            True,
        )
        for kind, unit in kinds
        for way, name in (("a", "direct"), ("b", "accelerated"))
    }
    report(
        "accelerator_path",
        list(figures.values()),
        [
            Ratio(
                "average RTT: direct / accelerated",
                figures["a", "avg_ms"],
                figures["b", "avg_ms"],
                2,
            ),
            Ratio("p99 RTT: direct / accelerated", figures["a", "p99_ms"], figures["b", "p99_ms"]),
        ],
        before=before,
        notes=[
            f"{arguments.probes:,} echo requests each way and round, one every {INTERVAL_MS} ms, both "
            "ways at the same time; accelerated is from host to host inside IPsec, 0 lost is the goal",
        ],
    )


def compared(probes: int, chart: Path | None) -> dict[str, Any]:
    """What `bongsu compare --json` says of both ways."""
    program = Path(sys.executable).with_name("bongsu")
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as directory:
        argv = [
            *(str(program), "compare", DIRECT, ACCELERATED, "--lab", LAB, "--json"),
            *("-c", str(probes), "-i", f"{INTERVAL_MS}ms", "--out", directory),
            *(() if chart is None else ("--chart", os.fspath(chart))),
        ]
        done = run(argv, timeout_s=probes * INTERVAL_MS / 1000 + SECONDS)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
