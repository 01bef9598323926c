"""How long `check` and `render` take for a network of 300, 1,000 and 3,000 sites, and how it grows.

The generated network is the anycast example grown up: four PoPs, every other site a home with a /24
of its own, an uplink, a LAN and two tunnels to two PoPs. So a PoP of the largest network has 1,500
tunnels and announces 1,500 prefixes, and whatever looks at all pairs of them shows.

Phases are timed apart in CPU seconds, every run in a fresh process, sizes in turn. A ratio is the cost of
a site in the smallest network over that in a larger one: 1.0 is linear.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIZES = (300, 1000, 3000)
POPS = 4
PHASES = ("load", "compile", "check", "render")
LINEAR = 0.8
"""Less than this share of a small network's rate per site is not linear."""


def network_text(sites: int) -> str:
    """YAML text of a network of so many nodes, POPS of them PoPs."""
    homes = sites - POPS
    ends: dict[int, list[int]] = {home: [home % POPS, (home + 1) % POPS] for home in range(homes)}
    lines = [
        "version: 1",
        "name: scale",
        "owner:",
        "  asn: 64500",
        "  prefixes: [103.0.0.0/9]",
        "nodes:",
    ]
    for pop in range(POPS):
        lines += [
            f"  pop-{pop}:",
            "    role: pop",
            "    location: {city: Seoul, latitude: 37.57, longitude: 126.98}",
            "    interfaces:",
            f"      ens3: {{role: uplink, addresses: [11.255.{pop}.2/24], "
            f"gateway: 11.255.{pop}.1}}",
            "    bgp:",
            "      neighbors:",
            "        transit: {asn: 64515, address: 169.254.169.254, multihop: 2, "
            f"password: env:POP_{pop}}}",
            "    announce:",
        ]
        lines += [
            f"      - {{prefix: {_lan(home)}.0/24, to: [{_tunnel(home, pop)}]}}"
            for home in range(homes)
            if pop in ends[home]
        ]
    for home in range(homes):
        lines += [
            f"  home-{home}:",
            "    role: home",
            f"    location: {{city: Site {home}, latitude: 37.50, longitude: 127.03}}",
            "    interfaces:",
            f"      wan: {{role: uplink, addresses: [11.{home >> 8}.{home & 255}.2/24], "
            f"gateway: 11.{home >> 8}.{home & 255}.1}}",
            f"      lan: {{role: lan, addresses: [{_lan(home)}.1/24]}}",
        ]
    lines.append("tunnels:")
    for home in range(homes):
        for rank, pop in enumerate(ends[home]):
            inside = f"10.{128 * rank + (home >> 8)}.{home & 255}"
            lines += [
                f"  {_tunnel(home, pop)}:",
                f"    ends: {{pop-{pop}: {{addresses: [{inside}.1/30]}}, "
                f"home-{home}: {{addresses: [{inside}.2/30]}}}}",
                f"    key: {2 * home + rank}",
                "    keepalive: {seconds: 1, retries: 3}",
                "    bfd: {interval_ms: 300, multiplier: 3}",
                "    egress: true",
                "    insecure: true",
                f"    preference: {200 - 100 * rank}",
            ]
    return "\n".join(lines) + "\n"


def _lan(home: int) -> str:
    return f"103.{home >> 8}.{home & 255}"


def _tunnel(home: int, pop: int) -> str:
    return f"t{home}-{pop}"


def measure(sites: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each phase, in this process. Imports and first uses are not counted."""
    from bongsu.checks import run_checks
    from bongsu.intent import load_text
    from bongsu.plan.compile import compile_network
    from bongsu.render import render_node

    text = network_text(sites)
    seconds: dict[str, tuple[float, float]] = {}

    def timed(phase: str, act: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = act()
        seconds[phase] = (time.process_time() - cpu, time.perf_counter() - wall)
        return result

    small = load_text(network_text(8), "warm.yaml").network
    for plan in compile_network(small).values():
        render_node(plan)
    gc.collect()
    network = timed("load", lambda: load_text(text, "scale.yaml")).network
    plans = timed("compile", lambda: compile_network(network))
    findings = timed("check", lambda: run_checks(network, plans))
    files = timed("render", lambda: [render_node(plan) for plan in plans.values()])
    assert not findings, findings[:3]
    assert len(files) == sites
    return seconds


def fresh(sites: int) -> dict[str, tuple[float, float]]:
    """measure() in a process of its own, so that no run inherits the heap of another."""
    command = [sys.executable, __file__, "--one", str(sites)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run all sizes in turn, print, keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return

    from common import Figure, Ratio, machine, report

    before = machine()
    cpu: dict[tuple[str, int], list[float]] = {}
    wall: dict[int, list[float]] = {}
    for _ in range(arguments.runs):
        for sites in SIZES:
            seconds = fresh(sites)
            seconds["total"] = (
                sum(pair[0] for pair in seconds.values()),
                sum(pair[1] for pair in seconds.values()),
            )
            for phase, pair in seconds.items():
                cpu.setdefault((phase, sites), []).append(pair[0])
            wall.setdefault(sites, []).append(seconds["total"][1])
    figures = [
        Figure(f"{phase}, {sites} sites", "CPU s", cpu[phase, sites], lower_is_better=True)
        for phase in (*PHASES, "total")
        for sites in SIZES
    ]
    figures += [
        Figure(
            f"total, {sites} sites",
            "wall s",
            wall[sites],
            lower_is_better=True,
            note="whatever else the machine did",
        )
        for sites in SIZES
    ]
    small = SIZES[0]
    ratios = []
    for phase in (*PHASES, "total"):
        for sites in SIZES[1:]:
            per_site = {
                size: Figure(
                    f"{phase} per site, {size} sites",
                    "CPU s",
                    [seconds / size for seconds in cpu[phase, size]],
                    lower_is_better=True,
                )
                for size in (small, sites)
            }
            # How many times cheaper a site of the small network is: 1 is linear.
            ratios.append(
                Ratio(
                    f"{phase}: a site of {small} over a site of {sites}",
                    per_site[small],
                    per_site[sites],
                    target=LINEAR if phase == "total" else None,
                )
            )
    report(
        "scale",
        figures,
        ratios,
        before=before,
        notes=[f"linear is 1.0; below {LINEAR} something grows faster than the network"],
    )


if __name__ == "__main__":
    main()
