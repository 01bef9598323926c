"""How long hosts are without their cloud when one of two tunnels dies, by what tells of it.

The example hybrid-vpn.yaml, raised twice in one run: as document E has it (BGP's timers 6/18, DPD 10/30),
and with bongsu's fast profile (`probe:`, an echo every 200 ms through each tunnel, three misses; and
`deaggregate_on_failure`, by which the cloud is told on the other tunnel). What befalls the active tunnel,
in turn:

- headend killed: the cloud's end says nothing any more, and has forgotten what was negotiated;
- silent loss: somewhere in the Internet the tunnel's packets are lost, both ways;
- IKE daemon killed: SIGKILL for the site's; the agent starts it again. Where the kernel has no ESP the
  daemon carries the packets, and all tunnels are down with it: that is measured, not avoided.

A host at the site asks one in the cloud every 5 ms, and each answer needs both directions.

An outage is mostly waiting, so several labs of either profile are up at once, each in a process of its
own: fifty faults of each kind would take two hours one after the other.

    sudo .venv/bin/python bench/vpn_failover.py [--faults 50] [--labs 3]
"""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

from bongsu.intent import load_text
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import raise_lab, remove_lab, settle
from bongsu.lab.outage import measure
from bongsu.lab.probe.survey import sources
from common import Figure, Ratio, machine, report

EXAMPLE = Path(__file__).parents[1] / "examples" / "hybrid-vpn.yaml"
ENCAPSULATION = "    encapsulation: true\n"
PROBE = "    probe: {interval_ms: 200, misses: 3}\n"
BGP = "soft_reconfiguration: true}"
TAKEOVER = "soft_reconfiguration: true, deaggregate_on_failure: 17}"
FAULTS = {
    "headend killed": "node-kill:seoul/vti1",
    "silent loss": "silent-loss:vti1",
    "IKE daemon killed": "daemon-kill:cpe/ike",
}
DOCUMENT, FAST = "document E's timers", "fast profile"
SETTLE_S = 120.0
LIMIT_S = 90.0


def main() -> None:
    """Raise, break, mend, count; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=50, help="of each kind, in each profile")
    parser.add_argument("--labs", type=int, default=3, help="of each profile, up at once")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        profile, name = arguments.one
        print(json.dumps(outages(profile, name, arguments.faults)))
        return
    before = machine()
    found = side_by_side(arguments.faults, arguments.labs)
    ratios = [
        Ratio(f"{fault}: {DOCUMENT} / {FAST}", found[DOCUMENT][fault], found[FAST][fault])
        for fault in FAULTS
    ]
    report(
        "vpn_failover",
        [figure for figures in found.values() for figure in figures.values()],
        ratios,
        before=before,
        notes=[
            "ms without an answer, vm-onprem to vm-cloud, each run one fault; "
            f"{arguments.faults} faults of each kind in each profile, {2 * arguments.labs} labs at once",
            "Pairs of a ratio are the n-th faults of two labs that were up at the same time.",
            "The fast profile is the site's alone: probes turn what the site sends, and more-specifics "
            "by the other tunnel turn what the cloud sends, whose own timers are the same in both.",
        ],
    )


def texts() -> dict[str, str]:
    """The network file of each profile."""
    text = EXAMPLE.read_text()
    assert (text.count(ENCAPSULATION), text.count(BGP)) == (1, 1)
    fast = text.replace(ENCAPSULATION, ENCAPSULATION + PROBE).replace(BGP, TAKEOVER)
    return {DOCUMENT: text, FAST: fast}


def side_by_side(faults: int, labs: int) -> dict[str, dict[str, Figure]]:
    """By profile and fault, the outages in all labs."""
    shares = [faults // labs + (number < faults % labs) for number in range(labs)]
    running = [
        (profile, subprocess.Popen(
            [sys.executable, __file__, "--faults", str(share), "--one", profile, f"{short}{number}"],
            stdout=subprocess.PIPE, text=True,
        ))
        for number, share in enumerate(shares)
        for profile, short in ((DOCUMENT, "doc"), (FAST, "fast"))
        if share
    ]  # fmt: skip
    runs: dict[str, dict[str, list[float]]] = {
        profile: {fault: [] for fault in FAULTS} for profile in (DOCUMENT, FAST)
    }
    try:
        for profile, process in running:
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"a lab of {profile} ended with {process.returncode}")
            for fault, values in json.loads(said).items():
                runs[profile][fault] += values
    finally:
        # As Ctrl-C would: each takes its own lab down.
        for _, process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for _, process in running:
            process.wait()
    return {
        profile: {
            fault: Figure(f"{fault}, {profile}", "ms", values, lower_is_better=True)
            for fault, values in of_profile.items()
        }
        for profile, of_profile in runs.items()
    }


def outages(profile: str, name: str, count: int) -> dict[str, list[float]]:
    """By fault, the outage of each, in a lab of this process."""
    text = texts()[profile]
    network = load_text(text, EXAMPLE.name).network
    lab = raise_lab(network, EXAMPLE, text, name=f"bench-vpn-{name}", keep=False)
    runs: dict[str, list[float]] = {fault: [] for fault in FAULTS}
    try:
        for number in range(count):
            for fault, what in FAULTS.items():
                runs[fault].append(one_fault(lab, what))
                took = f"{number + 1}/{count} {runs[fault][-1]:.0f} ms"
                print(f"{name}, {fault}: {took}", file=sys.stderr, flush=True)
    finally:
        remove_lab(lab.name)
    return runs


def one_fault(lab: Lab, fault: str) -> float:
    """Break once, and mend; ms without service."""
    missing = settle(lab, SETTLE_S)
    if missing:
        raise SystemExit(f"the lab has not settled: {missing}")
    there = sources(lab, lab.target("vm-cloud"), ["vm-onprem"])
    outage = measure(there, lambda: bring_in(lab, fault).at_ns, limit_s=LIMIT_S)
    heal(lab, fault)
    if not outage.recovered:
        raise SystemExit(f"{fault}: service did not come back within {LIMIT_S:g} s")
    return outage.worst_ms


if __name__ == "__main__":
    main()
