"""Who can be trusted to wake in time: a bpf_timer, a thread in real time, a thread, or Python.

Each is to wake every 10 ms while twice as many busy processes as there are cores take all they can
get; how late it was is noted every time. They take turns, so that what else the machine does falls
on all of them. It is what docs/decisions/0009 rests on.

    sudo .venv/bin/python bench/keepalive_timer.py [--rounds 5] [--seconds 10]
"""

import argparse
import asyncio
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf.objects import Object
from bongsu.system.bpf.testrun import once
from bongsu.system.run import run
from common import Figure, compiled, machine, report

INTERVAL_NS = 10_000_000
BUSY = "while True: sum(range(100000))"
Lateness = npt.NDArray[np.float64]


def by_bpf(rounds: int) -> Lateness:
    """Microseconds by which a bpf_timer was late, each time."""
    with Object(compiled(__file__), "keepalive_timer") as opened:
        opened.load()
        maps = opened.maps()
        noted = maps["late"].shared("u8")
        packet = bytes(14) + struct.pack("=QI", INTERVAL_NS, rounds) + bytes(38)
        answer = once(opened.program("begin"), packet)
        assert answer.verdict == 0, f"the timer was refused: {answer.verdict}"
        deadline = time.monotonic() + 2 * rounds * INTERVAL_NS / 1e9 + 5
        while not noted[rounds - 1]:
            assert time.monotonic() < deadline, "the timer has stopped"
            time.sleep(0.1)
        return np.asarray(noted[:rounds] - 1, dtype=float) / 1000


def by_thread(binary: Path, how: str) -> Callable[[int], Lateness]:
    """The same of a C thread, `fifo` or `normal`."""

    def measure(rounds: int) -> Lateness:
        argv = [str(binary), str(INTERVAL_NS), str(rounds), how]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
        return np.frombuffer(done.stdout, "u8").astype(float) / 1000

    return measure


def by_python(rounds: int) -> Lateness:
    """The same of an asyncio timer."""
    late = np.zeros(rounds)

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in range(rounds):
            due += INTERVAL_NS / 1e9
            waiter = loop.create_future()
            loop.call_at(due, waiter.set_result, None)
            await waiter
            late[number] = (loop.time() - due) * 1e6

    asyncio.run(tick())
    return late


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    before = machine()
    count = int(arguments.seconds * 1e9 / INTERVAL_NS)
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as directory:
        binary = Path(directory) / "timer"
        run(["gcc", "-O2", "-o", str(binary), str(Path(__file__).with_suffix(".c"))])
        ways: dict[str, Callable[[int], Lateness]] = {
            "bpf_timer": by_bpf,
            "C, SCHED_FIFO": by_thread(binary, "fifo"),
            "C, normal": by_thread(binary, "normal"),
            "Python, asyncio": by_python,
        }
        seen: dict[str, list[Lateness]] = {name: [] for name in ways}
        busy: list[subprocess.Popen[bytes]] = []
        try:
            cores = os.cpu_count() or 1
            busy += [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2 * cores)]
            for turn in range(arguments.rounds):
                names = list(ways)
                random.Random(turn).shuffle(names)
                for name in names:
                    seen[name].append(ways[name](count))
        finally:
            for each in busy:
                each.kill()
                each.wait()
    report("keepalive_timer", list(figures(seen)), [], before=before, notes=notes(count))


def figures(seen: dict[str, list[Lateness]]) -> Any:
    """p50, p99.9 and the worst of each turn."""
    for name, turns in seen.items():
        for word, share in (("p50", 50), ("p99.9", 99.9), ("worst", 100)):
            runs = [float(np.percentile(turn, share)) for turn in turns]
            yield Figure(f"{name}: {word}", "us late", runs, lower_is_better=True)


def notes(count: int) -> list[str]:
    """What a reader has to know."""
    return [f"each run: {count} times 10 ms, beside {2 * (os.cpu_count() or 1)} busy processes"]


if __name__ == "__main__":
    main()
