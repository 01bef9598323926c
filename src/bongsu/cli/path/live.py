"""While it is measured: the path as it stands on a terminal, a bar for long runs, and Ctrl-C.

The view is made anew as often as it costs little: the more probes there are, the less often.
"""

import sys
import time
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bongsu.cli.output import err, out
from bongsu.lab.probe.measure import Measurement, Runner
from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import Figures, hops

VIEW_S = 0.25
SHARE = 0.05
"""Of the time that making the view may take."""
WIDE = 100
"""Columns from which on there is room for percentiles and jitter."""
LOSS_BAD = 0.05


def table(run: Run, *, wide: bool = True) -> Table:
    """The path hop by hop, with what mtr's report has not."""
    view = Table(
        title=f"{run.head.source_name} to {run.head.target_name} ({run.head.target})",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    view.add_column("", justify="right")
    view.add_column("Host", no_wrap=True)
    headings = ["Loss%", "Snt", "Last", "Avg", "Best", "Wrst", "StDev"]
    for heading in [*headings, *(["p50", "p95", "p99", "Jttr"] if wide else [])]:
        view.add_column(heading, justify="right", no_wrap=True)
    for hop in hops(run):
        names = [str(address) for address, _ in hop.addresses] or ["???"]
        row = hop.figures
        times = [row.last_ms, row.avg_ms, row.best_ms, row.worst_ms, row.stdev_ms]
        times += [row.p50_ms, row.p95_ms, row.p99_ms, row.jitter_ms] if wide else []
        host = names[0] + "".join(f" {mark}" for mark in hop.marks)
        view.add_row(f"{hop.number}", host, loss(row), str(row.sent), *map(ms, times))
        for other in names[1:]:
            view.add_row("", other)
    return view


def loss(row: Figures) -> str:
    """The loss in percent, coloured."""
    text = f"{100 * row.loss:.1f}"
    if not row.sent:
        return "-"
    if row.loss > LOSS_BAD:
        return f"[bold red]{text}[/]"
    return f"[yellow]{text}[/]" if row.lost else f"[green]{text}[/]"


def ms(value: float | None) -> str:
    """Milliseconds, `-` for none."""
    return "-" if value is None else f"{value:.1f}"


def watch(measurements: Sequence[Measurement], *, view: bool) -> bool:
    """Run to the end, or until Ctrl-C; whether it was interrupted.

    The first Ctrl-C still waits for what is on its way, the second for nothing.
    """
    runner = Runner(measurements).start()
    interrupted = False
    try:
        while True:
            try:
                _show(runner, view=view)
                break
            except KeyboardInterrupt:
                if interrupted:
                    runner.finish(leave=True)
                    return True
                interrupted = True
                runner.stop()
                wait = max(each.machine.pace.wait_ns for each in measurements) / 1e9
                if any(each.machine.in_flight for each in measurements):
                    err.print(f"waiting up to {wait:g} s for answers; Ctrl-C leaves at once")
    except BaseException:
        runner.finish(leave=True)
        raise
    runner.finish()
    return interrupted


def _show(runner: Runner, *, view: bool) -> None:
    bar = Progress(
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out if view else err,
        disable=not view and not err.is_terminal,
        transient=True,
        auto_refresh=not view,
    )
    counts = [each.run.head.count for each in runner.measurements]
    total = None if None in counts else sum(count for count in counts if count is not None)
    task = bar.add_task("", total=total)
    if not view:
        with bar:
            while runner.running(VIEW_S):
                bar.update(task, completed=_sent(runner))
        return
    with Live(console=out, transient=True, auto_refresh=False) as live:
        pause = VIEW_S
        while runner.running(pause):
            began = time.perf_counter()
            bar.update(task, completed=_sent(runner))
            live.update(_picture(runner, bar), refresh=True)
            pause = max(VIEW_S, (time.perf_counter() - began) / SHARE)


def _sent(runner: Runner) -> int:
    return sum(each.machine.cycles for each in runner.measurements)


def _picture(runner: Runner, bar: Progress) -> RenderableType:
    tables = [table(each.run, wide=out.width >= WIDE) for each in runner.measurements]
    return Group(*tables, bar)


def on_terminal() -> bool:
    """Whether somebody looks."""
    return out.is_terminal and sys.stdout.isatty()
