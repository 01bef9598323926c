"""The text of `mtr --report`, column for column, and the same as JSON."""

from dataclasses import asdict
from typing import Any

from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import Figures, Hop, hops

HOST_WIDTH = 33
"""Of mtr's report; it grows with the longest address, as with `--report-wide`."""
HEADINGS = f"{'Loss%':>6}{'Snt':>6} {'Last':>6}{'Avg':>6}{'Best':>6}{'Wrst':>6}{'StDev':>6}"
UNKNOWN = "???"
_NUMBER_WIDTH = len(" 00.|-- ")


def report(run: Run, started: str) -> str:
    """The report; `started` is the time of the beginning as people read it."""
    path = hops(run)
    names = [str(address) for hop in path for address, _ in hop.addresses]
    width = max([HOST_WIDTH, *(_NUMBER_WIDTH + len(name) + 1 for name in names)])
    lines = [f"Start: {started}", f"{'HOST: ' + run.head.source_name:<{width}}{HEADINGS}"]
    for hop in path:
        first = str(hop.addresses[0][0]) if hop.addresses else UNKNOWN
        lines.append(f"{f' {hop.number:2}.|-- {first}':<{width}}{_columns(hop.figures)}")
        for place, (address, _count) in enumerate(hop.addresses[1:]):
            lines.append(f"    |  {' ' if place else '`'}|-- {address}")
    return "\n".join(lines) + "\n"


def _columns(row: Figures) -> str:
    times = (row.last_ms, row.avg_ms, row.best_ms, row.worst_ms, row.stdev_ms)
    shown = "".join(f" {value or 0.0:5.1f}" for value in times)
    # Six columns, so that 100.0 stands without its sign. Other numbers are never cut, as mtr's are:
    # 172,800 probes stand as 17280 in its report.
    loss = f" {100 * row.loss:4.1f}%"[:6]
    return f"{loss} {row.sent:5d} {shown}"


def run_dict(run: Run) -> dict[str, Any]:
    """The run for machines: what was asked, and every hop's figures."""
    head = run.head
    return {
        "from": head.source_name,
        "to": head.target_name,
        "source": head.source,
        "target": head.target,
        "lab": head.lab,
        "protocol": head.protocol,
        "interval_ms": head.interval_ns / 1e6,
        "round_ms": head.round_ns / 1e6,
        "wait_ms": head.wait_ns / 1e6,
        "size": head.size,
        "count": head.count,
        "done": run.done,
        "parts": len(run.parts),
        "hops": [_hop_dict(hop) for hop in hops(run)],
    }


def _hop_dict(hop: Hop) -> dict[str, Any]:
    return {
        "hop": hop.number,
        "target": hop.target,
        "addresses": {str(address): count for address, count in hop.addresses},
        "marks": list(hop.marks),
        "loss": hop.figures.loss,
        **{
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(hop.figures).items()
        },
    }
