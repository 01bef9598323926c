"""While it is measured: the path as it stands on a terminal, a bar for long runs, and Ctrl-C.

The view is made anew as often as it costs little: the more probes there are, the less often.
"""

import re
import sys
import time
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bongsu.cli.output import err, out
from bongsu.lab.probe.measure import Measurement, Runner
from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import Figures, Hop, hops

VIEW_S = 0.25
SHARE = 0.05
"""Of the time that making the view may take."""
WIDE = 100
"""Columns from which on there is room for percentiles and jitter."""
MTRS = ("Loss%", "Snt", "Last", "Avg", "Best", "Wrst", "StDev")
OURS = ("p50", "p95", "p99", "Jttr")
HOST_LEAST = 15
"""An IPv4 address, whatever else there is."""
BETWEEN = 2
"""Blanks between two columns."""
LOSS_BAD = 0.05


def table(run: Run, width: int) -> Table:
    """The path hop by hop, with what mtr's report has not; no wider than `width`, from 80 on.

    An address that has no room is folded behind a colon, and stays whole on a page that is wide.
    """
    found = hops(run)
    headings, figures = [*MTRS, *OURS], [_figures(hop) for hop in found]
    room = _room(headings, figures, width)
    if width < WIDE or room < HOST_LEAST:
        headings, figures = [*MTRS], [cells[: len(MTRS)] for cells in figures]
        room = max(_room(headings, figures, width), HOST_LEAST)
    view = Table(
        title=Text(f"{run.head.source_name} to {run.head.target_name} ({run.head.target})"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    view.add_column("", justify="right")
    view.add_column("Host", overflow="fold")
    for heading in headings:
        view.add_column(heading, justify="right", no_wrap=True)
    for hop, cells in zip(found, figures, strict=True):
        names = [str(address) for address, _ in hop.addresses] or ["???"]
        host = names[0] + "".join(f" {mark}" for mark in hop.marks)
        # Text: what stands between two colons of an address may be a picture's name to rich.
        view.add_row(f"{hop.number}", Text(folded_host(host, room)), *cells)
        for other in names[1:]:
            view.add_row("", Text(folded_host(other, room)))
    return view


def folded_host(host: str, room: int) -> str:
    """An address, and what is said of it, in lines of `room` columns: broken at blanks and colons."""
    lines = [""]
    for part in re.findall(r"[^: ]*[: ]*", host):
        if len(lines[-1]) + len(part.rstrip()) > room and lines[-1]:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _figures(hop: Hop) -> list[str]:
    row = hop.figures
    times = [row.last_ms, row.avg_ms, row.best_ms, row.worst_ms, row.stdev_ms]
    times += [row.p50_ms, row.p95_ms, row.p99_ms, row.jitter_ms]
    return [loss(row), str(row.sent), *map(ms, times)]


def _room(headings: Sequence[str], figures: Sequence[Sequence[str]], width: int) -> int:
    """Columns that the figures, and the hops' numbers, leave for the hosts."""
    columns = zip(headings, *figures, strict=True)
    taken = sum(max(Text.from_markup(cell).cell_len for cell in column) for column in columns)
    edges = 2
    return width - taken - BETWEEN * (len(headings) + 1) - len(str(len(figures))) - edges


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
    tables = [table(each.run, out.width) for each in runner.measurements]
    return Group(*tables, bar)


def on_terminal() -> bool:
    """Whether somebody looks."""
    return out.is_terminal and sys.stdout.isatty()
