"""How well the link emulator keeps what it is told: delay, loss and rate.

Both ends are watched by packet sockets whose time stamps are the kernel's, of the same clock: when a
frame was given to the sender's interface, and when it came in at the receiver's. What is printed
is the difference from what was set; nothing of the watcher's own time is in it. The frames are read
from the sockets only after each run.

    python bench/link_accuracy.py [--runs N] [--seconds S]
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkSpec
from bongsu.model.lab import Impairment
from bongsu.system import netns
from bongsu.system.run import Process, spawn
from common import RESULTS, machine

NAME = "link_accuracy"
ETHERTYPE = 0x88B5
HEADER = b"\xff" * 6 + b"\x02" + bytes(5) + ETHERTYPE.to_bytes(2)
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
BUFFER_BYTES = 512 << 20
SETTLE_S = 0.3
BACKLOG_NS = 1_000_000

DELAYS_MS = (1, 10, 30, 100)
PACKET_RATES = (2_000, 20_000)
JITTER_MS = 5
LOSSES = (0.001, 0.01, 0.05, 0.2)
RATES_MBPS = (1, 10, 100, 1000)

Row = dict[str, float | int | str]


class Watcher:
    """A packet socket with kernel time stamps; `outgoing` also sees what the interface sends."""

    def __init__(self, namespace: str, interface: str, *, outgoing: bool) -> None:
        # Outgoing frames are shown to sockets of all protocols only.
        self.socket = netns.socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((interface, 0x0003 if outgoing else ETHERTYPE))
        self.socket.setblocking(False)

    def drain(self) -> dict[int, int]:
        """Number of a frame to its time stamp in ns, for all frames of the run."""
        seen: dict[int, int] = {}
        space = socket.CMSG_SPACE(16)
        while True:
            try:
                frame, ancillary, _, _ = self.socket.recvmsg(18, space)
            except BlockingIOError:
                return seen
            if frame[12:14] != ETHERTYPE.to_bytes(2):
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            seen[int.from_bytes(frame[14:18])] = seconds * 1_000_000_000 + nanoseconds


class Setup:
    """One link, its two watchers and a sender."""

    def __init__(self, emulator: Emulator, a: str, b: str) -> None:
        self.emulator = emulator
        spec = LinkSpec("bench", a, "up0", b, "up0", mtu=9000)
        emulator.create([spec])
        self.before = Watcher(a, "up0", outgoing=True)
        self.after = Watcher(b, "up0", outgoing=False)
        self.sender = netns.socket_in(a, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sender.bind(("up0", 0))

    def pace(self, count: int, per_second: float, size: int) -> None:
        """Send evenly spaced frames. It waits busily: sleeping is far coarser than 50 us."""
        filler = bytes(size - len(HEADER) - 4)
        step = 1e9 / per_second
        start = time.perf_counter_ns()
        for number in range(count):
            due = start + number * step
            while time.perf_counter_ns() < due:
                pass
            with contextlib.suppress(BlockingIOError, OSError):
                self.sender.send(HEADER + number.to_bytes(4) + filler)

    def collect(self, wait_s: float) -> tuple[dict[int, int], dict[int, int]]:
        """When frames were sent and when they arrived."""
        time.sleep(wait_s)
        return self.before.drain(), self.after.drain()


def delay(setup: Setup, delay_ms: float, pps: int, seconds: float, jitter_ms: float = 0) -> Row:
    setup.emulator.set("bench", Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms))
    setup.pace(int(pps * seconds), pps, 100)
    sent, arrived = setup.collect(delay_ms / 1000 + SETTLE_S)
    error_us = np.array([arrived[n] - sent[n] for n in arrived]) / 1e3 - delay_ms * 1e3
    p50, p99, p999 = np.percentile(error_us, [50, 99, 99.9])
    return {
        "what": "delay",
        "set_ms": delay_ms,
        "pps": pps,
        "frames": len(sent),
        "arrived": len(arrived),
        "mean_us": float(error_us.mean()),
        "p50_us": float(p50),
        "p99_us": float(p99),
        "p999_us": float(p999),
        "worst_us": float(error_us.max()),
        "earliest_us": float(error_us.min()),
        "deviation_us": float(error_us.std()),
    }


def loss(setup: Setup, share: float, seconds: float) -> Row:
    setup.emulator.set("bench", Impairment(loss=share))
    setup.pace(int(20_000 * seconds), 20_000, 100)
    sent, arrived = setup.collect(SETTLE_S)
    return {
        "what": "loss",
        "set": share,
        "frames": len(sent),
        "measured": 1 - len(arrived) / len(sent),
        # of a share drawn from as many frames
        "deviation": (share * (1 - share) / len(sent)) ** 0.5,
    }


def rate(setup: Setup, mbps: float, seconds: float) -> Row:
    size = 8_750 if mbps >= 500 else 1_250
    # More than fits; what would wait too long is dropped. The fastest is sent without any pause.
    pps = 1.3 * mbps * 1e6 / 8 / size
    setup.emulator.set("bench", Impairment(rate_mbps=mbps))
    setup.pace(max(20, int(pps * seconds)), 1e9 if mbps >= 500 else pps, size)
    sent, arrived = setup.collect(SETTLE_S + 0.1)
    # The wire has no gap between two frames if the second was there well before the first had left.
    numbers = sorted(arrived)
    pairs = [
        (one, two)
        for one, two in itertools.pairwise(numbers)
        if sent[two] <= arrived[one] - BACKLOG_NS
    ]
    busy_ns = sum(arrived[two] - arrived[one] for one, two in pairs)
    measured = len(pairs) * size * 8 / busy_ns * 1e3
    return {
        "what": "rate",
        "set_mbps": mbps,
        "frames": len(pairs),
        "busy": busy_ns / (arrived[numbers[-1]] - arrived[numbers[0]]),
        "measured_mbps": measured,
        "ratio": measured / mbps,
    }


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep as many cores busy at normal priority."""
    loads: list[Process] = []
    try:
        for _ in range(count):
            loads.append(spawn(["sh", "-c", "while :; do :; done"]))
        yield
    finally:
        for load in loads:
            load.terminate(0.5)


@contextlib.contextmanager
def bench_setup() -> Iterator[Setup]:
    a, b = (f"bs-bench-{os.getpid()}-{end}" for end in "ab")
    with tempfile.TemporaryDirectory() as place:
        try:
            netns.create(a)
            netns.create(b)
            emulator = Emulator.start(Path(place))
            yield Setup(emulator, a, b)
        finally:
            Emulator.end(Path(place))
            netns.remove(a)
            netns.remove(b)


def measure(runs: int, seconds: float) -> list[Row]:
    """All runs, interleaved, so that a busy minute of the machine does not hit one figure only."""
    rows: list[Row] = []
    with bench_setup() as setup:
        for run in range(runs):
            found = [delay(setup, ms, pps, seconds) for ms in DELAYS_MS for pps in PACKET_RATES]
            with busy(os.cpu_count() or 1):
                loaded = delay(setup, 30, 2_000, seconds)
            found.append({**loaded, "what": "delay, all cores busy"})
            for pps in PACKET_RATES:
                shaken = delay(setup, 30, pps, seconds, JITTER_MS)
                found.append({**shaken, "what": f"delay, jitter {JITTER_MS} ms"})
            found += [loss(setup, share, seconds) for share in LOSSES]
            found += [rate(setup, mbps, seconds) for mbps in RATES_MBPS]
            rows += [{**row, "run": run} for row in found]
    return rows


def tables(rows: list[Row]) -> list[Table]:
    """Medians over the runs, and the worst frame of all runs."""
    delays = Table("delay", "frames/s", "mean", "p50", "p99", "p99.9", "worst", "earliest", "lost")
    delays.title = "delay: measured minus set, us (medians of the runs; worst of all)"
    losses = Table("loss set", "measured", "in standard deviations", title="loss")
    rates = Table(
        "rate set, Mbit/s", "measured", "ratio", "furthest", title="rate, while the wire is busy"
    )
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row["what"], row.get("set_ms", row.get("set", row.get("set_mbps"))), row.get("pps"))
        groups.setdefault(key, []).append(row)
    for (what, value, pps), group in groups.items():
        median = {
            key: statistics.median(float(row[key]) for row in group)
            for key, first in group[0].items()
            if not isinstance(first, str)
        }
        if str(what).startswith("delay"):
            figures = [f"{median[f'{p}_us']:.0f}" for p in ("mean", "p50", "p99", "p999")]
            worst = max(float(row["worst_us"]) for row in group)
            earliest = min(float(row["earliest_us"]) for row in group)
            lost = sum(int(row["frames"]) - int(row["arrived"]) for row in group)
            note = str(what).removeprefix("delay")
            delays.add_row(
                f"{value} ms{note}",
                str(pps),
                *figures,
                f"{worst:.0f}",
                f"{earliest:.0f}",
                str(lost),
            )
        elif what == "loss":
            off = max(
                abs(float(r["measured"]) - float(r["set"])) / float(r["deviation"]) for r in group
            )
            losses.add_row(str(value), f"{median['measured']:.5f}", f"at most {off:.1f}")
        else:
            furthest = max((float(row["ratio"]) for row in group), key=lambda r: abs(r - 1))
            figures = [f"{median['measured_mbps']:.3f}", f"{median['ratio']:.5f}"]
            rates.add_row(str(value), *figures, f"{furthest:.5f}")
    return [delays, losses, rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    before = machine()
    rows = measure(arguments.runs, arguments.seconds)
    after = machine()
    # Kept before it is shown: whoever reads the tables may go away in the middle.
    RESULTS.mkdir(exist_ok=True)
    document = {"bench": NAME, "machine": {"before": before, "after": after}, "rows": rows}
    (RESULTS / f"{NAME}.json").write_text(json.dumps(document, indent=1) + "\n")
    console = Console()
    for table in tables(rows):
        console.print(table)
    load = " -> ".join(f"{each['load'][0]:.2f}" for each in (before, after))
    console.print(f"kernel {after['kernel']}, {after['cores']} cores, load {load}", highlight=False)


if __name__ == "__main__":
    main()
