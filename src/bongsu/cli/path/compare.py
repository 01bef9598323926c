"""`bongsu compare`: two measurements side by side, and whether one of the paths is better."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from bongsu.cli.lab import LabOption
from bongsu.cli.output import EXIT_FINDINGS, JsonOption, err, fail, out, print_json, sentence
from bongsu.cli.path.live import loss, ms, on_terminal, watch
from bongsu.cli.path.mtr import (
    EXIT_INTERRUPTED,
    Chart,
    Count,
    Duration,
    HopsEvery,
    Interval,
    MaxHops,
    Size,
    Udp,
    Wait,
)
from bongsu.cli.path.words import (
    check_chart,
    ends_of,
    head_of,
    kept,
    new_file,
    pace_of,
    pair_of_files,
    privileged,
    write_chart,
    wrong,
)
from bongsu.lab.probe.measure import Measurement
from bongsu.protocol.path.compare import Comparison, compare
from bongsu.protocol.path.machine import MAX_HOPS
from bongsu.protocol.path.run import Head, Run
from bongsu.protocol.path.verdict import comparison_dict, sentences

LIVE_COUNT = 100


def compare_runs(
    a: Annotated[str, typer.Argument(metavar="A", help="A kept run, or FROM,TO to measure now.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; it is judged against A.")],
    lab: LabOption = None,
    count: Count = None,
    duration: Duration = None,
    interval: Interval = "100ms",
    hops_every: HopsEvery = "1s",
    wait: Wait = "3s",
    udp: Udp = False,
    size: Size = None,
    max_hops: MaxHops = MAX_HOPS,
    as_json: JsonOption = False,
    out_directory: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Keep both runs here, as FROM-TO.run; without it, in the state directory.",
        ),
    ] = None,
    chart: Chart = None,
) -> None:
    """Set two measurements side by side: loss, RTT, jitter, and a verdict with its certainty."""
    check_chart(chart)
    left = False
    files = [Path(each).is_file() for each in (a, b)]
    if out_directory is not None and any(files):
        wrong("--out is for runs that are measured now: these are kept already")
    if all(files):
        runs = [kept(Path(each)) for each in (a, b)]
        names = _names(a, b)
    elif any(files):
        wrong(
            "one is a file, the other is not", "two kept runs, or two to measure at the same time"
        )
    else:
        if count is None and duration is None:
            count = LIVE_COUNT
        pace = pace_of(interval, hops_every, wait, count, duration, max_hops)
        pairs = [_pair(each) for each in (a, b)]
        heads = [
            head_of(ends_of(source, target, lab), pace, "udp" if udp else "icmp", size)
            for source, target in pairs
        ]
        paths = [new_file(head) for head in heads]
        if out_directory is not None:
            paths = pair_of_files(out_directory, heads)
        runs, left = _measured(_begun(heads, paths))
        names = heads[0].title, heads[1].title
        if names[0] == names[1]:
            names = f"{names[0]} (A)", f"{names[1]} (B)"
    try:
        found = compare(*runs)
    except ValueError as error:
        fail(str(error))
    if as_json:
        print_json(comparison_dict(found, *names))
    else:
        out.print(table(found, *names))
        headline, *rest = sentences(found, *names)
        sentence(headline)
        for each in rest:
            sentence(each, indent="  ")
    write_chart(chart, list(zip(names, runs, strict=True)))
    if left:
        counts = [f"{run.done} of {run.head.count}" for run in runs]
        sentence(f"left after {' and '.join(dict.fromkeys(counts))} probes", to=err)
        raise typer.Exit(EXIT_INTERRUPTED)
    if found.a.p50_ms is None and found.b.p50_ms is None:
        raise typer.Exit(EXIT_FINDINGS)


def table(found: Comparison, a: str, b: str) -> Table:
    """The two as rows."""
    view = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    view.add_column("Path", overflow="fold")
    for heading in ("Loss%", "Snt", "Avg", "p50", "p95", "p99", "Jttr"):
        view.add_column(heading, justify="right", no_wrap=True)
    for name, row in ((a, found.a), (b, found.b)):
        times = (row.avg_ms, row.p50_ms, row.p95_ms, row.p99_ms, row.jitter_ms)
        view.add_row(Text(name), loss(row), str(row.sent), *map(ms, times))
    return view


def _names(a: str, b: str) -> tuple[str, str]:
    """Kept runs by their files' names."""
    one, two = Path(a).stem, Path(b).stem
    return (one, two) if one != two else (a, b) if a != b else (f"{one} (A)", f"{two} (B)")


def _pair(text: str) -> tuple[str | None, str]:
    source, comma, target = text.partition(",")
    if comma and source and target:
        return source, target
    if "/" in text or text.endswith(".run"):
        fail(f"{text}: there is no such file")
    return None, text


def _begun(heads: list[Head], paths: list[Path]) -> list[Measurement]:
    """All of them, or none: where one cannot begin the others' files are removed again."""
    begun: list[Measurement] = []
    try:
        with privileged():
            for head, path in zip(heads, paths, strict=True):
                begun.append(Measurement.begin(head, path))
    except BaseException:
        for each in begun:
            each.close()
        for path in paths[: len(begun)]:
            path.unlink(missing_ok=True)
        raise
    return begun


def _measured(measurements: list[Measurement]) -> tuple[list[Run], bool]:
    """Their runs, and whether they were left before the end with something to compare."""
    interrupted = watch(measurements, view=on_terminal())
    for each in measurements:
        if each.journal is not None:
            sentence(f"kept in {each.journal.path}", to=err)
    runs = [each.run for each in measurements]
    left = interrupted and not all(run.complete for run in runs)
    if left and not all(run.done for run in runs):
        raise typer.Exit(EXIT_INTERRUPTED)
    return runs, left
