"""What every bench shares: figures with all their runs, ratios of one session, the machine they saw.

A figure without its runs, its machine and its neighbours proves nothing, so all go into
bench/results/<bench>.json; the table on the screen is made from the same.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bongsu.system.run import run

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One thing measured several times. `runs` are in the order they were taken, in `unit`."""

    name: str
    unit: str
    runs: list[float]
    lower_is_better: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        """Of all runs."""
        return statistics.median(self.runs)

    @property
    def worst(self) -> float:
        """The slowest, longest or poorest run."""
        return max(self.runs) if self.lower_is_better else min(self.runs)

    @property
    def best(self) -> float:
        """The other end."""
        return min(self.runs) if self.lower_is_better else max(self.runs)


@dataclass(frozen=True)
class Ratio:
    """One figure over another whose runs alternated with its own, pair by pair."""

    name: str
    over: Figure
    under: Figure
    target: float | None = None
    """What it should reach at the least."""
    runs: list[float] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.over.runs, self.under.runs, strict=True)
        object.__setattr__(self, "runs", [one / other for one, other in pairs])

    @property
    def median(self) -> float:
        """Of the pairs' ratios."""
        return statistics.median(self.runs)

    @property
    def worst(self) -> float:
        """The poorest pair."""
        return min(self.runs)

    @property
    def verdict(self) -> str:
        """`met` or `missed` by the median; empty without a target."""
        if self.target is None:
            return ""
        return "met" if self.median >= self.target else "missed"


def machine() -> dict[str, Any]:
    """The machine as it is now: kernel, processor, cores, and how busy others keep it."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "kernel": platform.release(),
        "processor": model,
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def compiled(script: str) -> bytes:
    """The object of the BPF program that stands beside a bench: its name with .bpf.c."""
    source = Path(script).with_suffix(".bpf.c")
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as directory:
        target = Path(directory) / "bench.o"
        include = run(["gcc", "-print-multiarch"]).stdout.strip()
        flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", f"-I/usr/include/{include}"]
        run(["clang", *flags, "-c", str(source), "-o", str(target)])
        return target.read_bytes()


def report(
    bench: str,
    figures: Sequence[Figure],
    ratios: Sequence[Ratio] = (),
    *,
    before: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Prints the tables and keeps everything in bench/results/<bench>.json, whose path it returns.

    `before` is machine() from the beginning of the session; its load is what others did.
    """
    after = machine()
    console = Console()
    table = Table(title=bench)
    for heading in ("figure", "median", "worst", "best", "unit", "runs", "note"):
        left = heading in ("figure", "unit", "note")
        table.add_column(heading, justify="left" if left else "right")
    for each in figures:
        numbers = [f"{value:,.4g}" for value in (each.median, each.worst, each.best)]
        table.add_row(each.name, *numbers, each.unit, str(len(each.runs)), each.note)
    console.print(table)
    if ratios:
        table = Table(title="ratios, run by run")
        for heading in ("ratio", "median", "worst", "target", "verdict"):
            table.add_column(heading, justify="left" if heading == "ratio" else "right")
        for ratio in ratios:
            target = "" if ratio.target is None else f">= {ratio.target:g}"
            row = (f"{ratio.median:.3f}", f"{ratio.worst:.3f}", target, ratio.verdict)
            table.add_row(ratio.name, *row)
        console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    load = " -> ".join(f"{each['load'][0]:.2f}" for each in (before or after, after))
    console.print(
        f"kernel {after['kernel']}, {after['cores']} cores, {after['processor']}, load {load}",
        highlight=False,
    )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{bench}.json"
    document = {
        "bench": bench,
        "machine": {"before": before, "after": after},
        "figures": [
            asdict(each) | {"median": each.median, "worst": each.worst} for each in figures
        ],
        "ratios": [
            {
                "name": each.name,
                "over": each.over.name,
                "under": each.under.name,
                "median": each.median,
                "worst": each.worst,
                "target": each.target,
                "verdict": each.verdict,
                "runs": each.runs,
            }
            for each in ratios
        ],
        "notes": list(notes),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
