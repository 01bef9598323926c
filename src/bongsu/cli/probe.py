"""`bongsu probe`: one's own network seen from everywhere, as ping.pe shows it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bongsu.cli.lab import LabOption, open_lab
from bongsu.cli.output import EXIT_FINDINGS, JsonOption, err, out, print_json, rounded, sentence
from bongsu.lab.lab import Lab

if TYPE_CHECKING:
    from bongsu.lab.probe.survey import Look, Survey

LOSS_WARNING = 0.0
LOSS_BAD = 0.05


def probe(
    to: Annotated[str | None, typer.Argument(help="Host of the lab, or an address.")] = None,
    name: LabOption = None,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Probes a vantage point.")] = 20,
    interval_ms: Annotated[int, typer.Option(min=1, max=60_000)] = 50,
    source: Annotated[
        list[str] | None, typer.Option("--from", help="Vantage point; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show loss, RTT, AS path and the PoP entered, from every vantage point."""
    lab = open_lab(name)
    result = run_survey(lab, to, count=count, interval_s=interval_ms / 1000, vantages=source)
    if as_json:
        print_json(survey_dict(result))
    else:
        out.print(table(result))
        if result.counted:
            sentence(footer(result))
    if any(look.loss == 1 for look in result.looks):
        raise typer.Exit(EXIT_FINDINGS)


def run_survey(
    lab: Lab,
    to: str | None,
    *,
    count: int,
    interval_s: float,
    vantages: list[str] | None = None,
) -> "Survey":
    """A survey with a progress bar on terminals."""
    from bongsu.lab.probe.survey import survey

    target = lab.target(to)
    with Progress(
        TextColumn("probing {task.fields[target]}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task("", total=count, target=str(target))
        return survey(
            lab,
            target,
            vantages=vantages,
            count=count,
            interval_s=interval_s,
            progress=lambda done: progress.update(task, completed=done),
        )


def table(result: "Survey") -> Table:
    """The survey as a table."""
    view = Table(
        title=f"{result.target} from everywhere",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    view.add_column("From", no_wrap=True)
    pops = bool(result.counted) or any(look.pop for look in result.looks)
    if pops:
        view.add_column("PoP", no_wrap=True)
    for heading in ("Loss%", "Snt", "Min", "Avg", "Max", "StDev"):
        view.add_column(heading, justify="right", no_wrap=True)
    routed = pops or any(look.as_path for look in result.looks)
    if routed:
        view.add_column("AS path", overflow="fold")
    for look in result.looks:
        view.add_row(
            look.vantage,
            *([look.pop or "[red]none[/]"] if pops else []),
            _loss(look),
            str(look.sent),
            *(_ms(value) for value in (look.min_ms, look.avg_ms, look.max_ms, look.stddev_ms)),
            *([" ".join(map(str, look.as_path)) or "[red]no route[/]"] if routed else []),
        )
    return view


def footer(result: "Survey") -> str:
    """What the PoPs themselves counted."""
    counted = ", ".join(f"{pop} +{number}" for pop, number in result.counted.items())
    word = "agree" if result.proved else "DO NOT agree"
    return f"entered meanwhile, as the PoPs count it: {counted}; paths and counters {word}"


def survey_dict(result: "Survey") -> dict[str, object]:
    """The survey as JSON has it."""
    return {
        "target": str(result.target),
        "looks": [rounded(asdict(look)) | {"loss": look.loss} for look in result.looks],
        "counted": result.counted,
        "proved": result.proved,
    }


def _loss(look: "Look") -> str:
    text = f"{100 * look.loss:.1f}"
    if look.loss > LOSS_BAD:
        return f"[bold red]{text}[/]"
    return f"[yellow]{text}[/]" if look.loss > LOSS_WARNING else f"[green]{text}[/]"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
