"""`bongsu mtr`: the path to somewhere, hop by hop, for seconds or for days."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bongsu.cli.lab import LabOption
from bongsu.cli.output import EXIT_FINDINGS, JsonOption, err, fail, out, print_json, sentence, text
from bongsu.cli.path.live import WIDE, on_terminal, table, watch
from bongsu.cli.path.words import (
    check_chart,
    ends_of,
    head_of,
    kept,
    new_file,
    pace_of,
    privileged,
    started,
    write_chart,
    wrong,
)
from bongsu.lab.probe.measure import Measurement
from bongsu.protocol.path.machine import MAX_HOPS
from bongsu.protocol.path.report import report, run_dict
from bongsu.protocol.path.run import Run, RunError

CYCLES = 10
"""As mtr's report has it. On a terminal it goes on until Ctrl-C."""
EXIT_INTERRUPTED = 130

Interval = Annotated[
    str, typer.Option("--interval", "-i", help="Between two probes: 1s, 10ms; down to 1ms.")
]
HopsEvery = Annotated[
    str,
    typer.Option(
        help="Between two rounds of the hops on the way: routers answer about one a second."
    ),
]
Wait = Annotated[str, typer.Option(help="A probe unanswered for so long is lost.")]
Count = Annotated[
    int | None, typer.Option("--count", "-c", min=1, max=100_000_000, help="Probes to the target.")
]
Duration = Annotated[str | None, typer.Option(help="In place of --count: 10m, 48h.")]
Udp = Annotated[bool, typer.Option("--udp", "-u", help="UDP in place of ICMP echo.")]
Size = Annotated[
    int | None, typer.Option("--size", "-s", help="Bytes of a probe, IP header and all.")
]
MaxHops = Annotated[int, typer.Option("--max-hops", min=1, max=64)]
Chart = Annotated[
    Path | None,
    typer.Option("--chart", help="Draw RTT and loss over time into FILE.svg or FILE.png."),
]


def mtr(
    first: Annotated[
        str | None,
        typer.Argument(metavar="FROM", help="Member of the lab; without it, this machine."),
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="TO", help="Member of the lab, or an address.")
    ] = None,
    lab: LabOption = None,
    count: Count = None,
    duration: Duration = None,
    interval: Interval = "1s",
    hops_every: HopsEvery = "1s",
    wait: Wait = "3s",
    udp: Udp = False,
    size: Size = None,
    max_hops: MaxHops = MAX_HOPS,
    as_report: Annotated[
        bool, typer.Option("--report", "-r", help="The text of `mtr --report`, column for column.")
    ] = False,
    as_json: JsonOption = False,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Keep the run here; without it, in the state directory."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run that was left.", metavar="FILE")
    ] = None,
    read: Annotated[
        Path | None, typer.Option(help="Show a kept run; measure nothing.", metavar="FILE")
    ] = None,
    chart: Chart = None,
) -> None:
    """Show loss, RTT and jitter of the path to somewhere, hop by hop; every run is kept."""
    check_chart(chart)
    view = on_terminal() and not as_report and not as_json
    if read is not None or resume is not None:
        if first is not None or (read is not None and resume is not None):
            wrong("--read and --resume take a file, which knows its ends")
        if count is not None or duration is not None or udp or size is not None or out_file:
            wrong("what is measured stands in the file", "give --resume or --read alone")
        run = kept(read or resume or Path())
        if read is not None or run.complete:
            _show(run, as_report, as_json, chart)
            return
    if resume is not None:
        measurement = _resumed(resume)
    else:
        source, target = (None, first) if second is None else (first, second)
        if target is None:
            wrong("where to?", "bongsu mtr [FROM] TO")
        if count is None and duration is None and not view:
            count = CYCLES
        pace = pace_of(interval, hops_every, wait, count, duration, max_hops)
        head = head_of(ends_of(source, target, lab), pace, "udp" if udp else "icmp", size)
        path = out_file or new_file(head)
        with privileged():
            measurement = Measurement.begin(head, path)
    _measure(measurement, view=view, as_report=as_report, as_json=as_json, chart=chart)


def _measure(
    measurement: Measurement, *, view: bool, as_report: bool, as_json: bool, chart: Path | None
) -> None:
    interrupted = watch([measurement], view=view)
    run = measurement.run
    path = measurement.journal.path if measurement.journal is not None else None
    _show(run, as_report, as_json, chart)
    if measurement.unsent is not None:
        sentence(f"the last probe was not sent: {measurement.unsent.strerror}", to=err)
    if path is not None and not as_json and not as_report:
        sentence(f"kept in {path}", to=err)
    if interrupted and run.head.count is not None:
        sentence(
            f"left after {run.done} of {run.head.count}; go on: bongsu mtr --resume {path}", to=err
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    if not (run.rows["kind"][run.rows["ttl"] == 0] == 1).any():
        raise typer.Exit(EXIT_FINDINGS)


def _resumed(path: Path) -> Measurement:
    try:
        with privileged():
            return Measurement.resume(path)
    except RunError as error:
        fail(f"{path} is no run of ours: {error}", error.hint)


def _show(run: Run, as_report: bool, as_json: bool, chart: Path | None) -> None:
    if as_json:
        print_json(run_dict(run))
    elif as_report:
        text(report(run, started(run)))
    else:
        # Anything but a terminal is 80 columns wide to rich, unless somebody says how wide it is.
        said = out.is_terminal or "COLUMNS" in os.environ
        page = out if said else Console(width=max(out.width, WIDE), highlight=False)
        page.print(table(run, page.width))
    write_chart(chart, [(run.head.title, run)])
