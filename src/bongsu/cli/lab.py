"""`bongsu lab`: raise a network on this machine, look at it, break it, test it, take it down.

What makes labs is imported by the verbs that make or break one: netlink takes longer to load than a
small network to check.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from bongsu.cli.output import (
    EXIT_FINDINGS,
    EXIT_USAGE,
    JsonOption,
    err,
    fail,
    line,
    out,
    print_json,
    sentence,
    working,
)
from bongsu.cli.source import FileArgument, load_sound
from bongsu.intent import IntentError, load_text
from bongsu.lab.lab import Lab, the_lab
from bongsu.lab.state import LabPaths, LabRecord, lab_names, read_record
from bongsu.lab.topology import TopologyError

if TYPE_CHECKING:
    from bongsu.lab.verdict import Verdict

app = typer.Typer(
    help="Raise a network on this machine, with real daemons, and try it.", no_args_is_help=True
)

LabOption = Annotated[
    str | None,
    typer.Option("--lab", "--name", help="Name of the lab; not needed if only one is up."),
]
NameOption = Annotated[
    str | None, typer.Option("--name", "--lab", help="Name of the lab; without it, the network's.")
]


def need_root() -> None:
    """A lab is made of namespaces, which root alone may make."""
    if os.geteuid() != 0:
        fail("a lab is made of namespaces: run this as root", code=EXIT_USAGE)


def open_lab(name: str | None) -> Lab:
    """The lab that is up, from the copy of its network file."""
    need_root()
    found = the_lab(name)
    path = LabPaths(found).network
    return Lab.of(found, load_text(path.read_text(), str(path)).network)


@app.command()
def up(file: FileArgument, name: NameOption = None) -> None:
    """Raise the lab of a network file and leave it up."""
    from bongsu.lab.lifecycle import raise_lab, settle

    need_root()
    source = load_sound(file)
    began = time.monotonic()
    with working("raising the lab") as status:
        lab = raise_lab(
            source.loaded.network, file, source.text, name=name, keep=True, progress=status.update
        )
    missing = settle(lab, 0)
    took = time.monotonic() - began
    line(
        f"lab {lab.name} is up after {took:.1f} s: {len(lab.topology.nodes)} nodes, "
        f"{len(lab.topology.routers)} ASes, {len(lab.topology.vantages)} vantage points"
    )
    show_missing(missing)
    if missing:
        raise typer.Exit(EXIT_FINDINGS)


def show_missing(missing: list[str]) -> None:
    """What has not settled, on standard error."""
    for text in missing:
        sentence(f"not settled: {text}", to=err, styles={"^not settled": "yellow"})


@app.command()
def down(
    file: Annotated[
        Path | None, typer.Argument(help="Network file that the lab was raised from.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--lab", "--name", help="Name of the lab; not needed where it was raised."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every lab of this machine, whoever raised it.")
    ] = False,
) -> None:
    """Take a lab down: processes, namespaces, links, files.

    Without a name, the one that was raised from a file here or in a directory below.
    """
    from bongsu.lab.lifecycle import remove_lab, sweep

    need_root()
    removed = sweep()
    if name is not None:
        names = [] if name in removed else [name]
    elif everything:
        names = lab_names()
    else:
        names = _meant(file, removed)
    for one in names:
        remove_lab(one)
        removed.append(one)
    line("removed " + ", ".join(removed) if removed else "no lab is there")


def _meant(file: Path | None, removed: list[str]) -> list[str]:
    """The lab that `down` takes without a name; none if leftovers were all that was meant.

    Only what was raised from this file, or from one at or below the working directory, and left up:
    another lab on the machine is somebody's work.
    """
    there = {name: record for name in lab_names() if (record := read_record(name)) is not None}
    where = Path.cwd() if file is None else file.absolute()
    found = [name for name, record in there.items() if record.keep and _is_of(record, where)]
    if len(found) > 1:
        fail(
            f"more than one lab was raised from {where}: " + ", ".join(found),
            "say which: bongsu lab down --lab NAME",
        )
    if there and not found and not (removed and file is None):
        labs = ", ".join(f"{name} (from {record.source or '?'})" for name, record in there.items())
        only = next(iter(there)) if len(there) == 1 else "NAME"
        fail(
            f"no lab was raised from {where}; there {'is' if len(there) == 1 else 'are'} {labs}",
            f"if that is meant: bongsu lab down --lab {only}",
        )
    return found


def _is_of(record: LabRecord, where: Path) -> bool:
    """Whether a lab was raised from a file, or from one at or below a directory."""
    source = Path(record.source)
    if not source.is_absolute():
        return False
    source, where = source.resolve(), where.resolve()
    # Everything is below the root, so that nobody says anything by standing there.
    return source == where or (where in source.parents and len(where.parents) > 0)


@app.command()
def status(
    only: Annotated[str | None, typer.Option("--lab", "--name", help="Only this lab.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the labs of this machine, their faults, and what has not settled."""
    from bongsu.lab.lifecycle import settle

    need_root()
    names = lab_names()
    if only is not None and only not in names:
        fail(f"there is no lab {only}", "there: " + (", ".join(names) or "none"))
    rows: list[dict[str, Any]] = []
    for name in names if only is None else [only]:
        record = read_record(name)
        if record is None:
            continue
        phase = "leftover" if record.leftover else record.phase
        missing: list[str] = []
        if phase == "up":
            try:
                missing = settle(open_lab(name), 0)
            except (IntentError, TopologyError, OSError):
                phase = "foreign"
        rows.append(
            {
                "lab": name,
                "phase": phase,
                "source": record.source,
                "raised_s": record.raised_s,
                "faults": list(record.faults),
                "not_settled": missing,
            }
        )
    if as_json:
        print_json(rows)
    elif rows:
        _show_labs(rows)
    else:
        line("no lab is there")


def _show_labs(rows: list[dict[str, Any]]) -> None:
    """A row for each lab; below, whole, what would not fit into a column."""
    table = Table("Lab", "State", "Raised in", "Faults", "Not settled")
    for row in rows:
        raised = f"{row['raised_s']} s" if row["raised_s"] else ""
        counts = [str(len(row[key])) if row[key] else "" for key in ("faults", "not_settled")]
        table.add_row(*map(Text, (row["lab"], row["phase"], raised, *counts)))
    out.print(table)
    for row in rows:
        name = row["lab"]
        if row["source"]:
            sentence(f"{name}: raised from {row['source']}")
        if row["phase"] == "foreign":
            sentence(f"{name}: raised by another version: bongsu lab down --lab {name}")
        for key, words in (("faults", "fault in effect"), ("not_settled", "not settled")):
            for text in row[key]:
                sentence(f"{name}: {words}: {text}")


@app.command()
def fault(
    what: Annotated[
        str,
        typer.Argument(
            help="link-down:NODE[/IF], silent-loss:NODE[/IF], silent-loss:TUNNEL, "
            "daemon-kill:NODE/DAEMON, node-kill:NODE, node-kill:CLOUD/TUNNEL or wrong-key:TUNNEL"
        ),
    ],
    mend: Annotated[bool, typer.Option("--heal", help="Take the fault back.")] = False,
    name: LabOption = None,
) -> None:
    """Bring a fault into the lab, or take it back."""
    from bongsu.lab.fault import bring_in, heal
    from bongsu.lab.lifecycle import SETTLE_WAIT_S, settle

    lab = open_lab(name)
    if mend:
        if not heal(lab, what):
            _not_in_effect(lab.name, what)
        with working("waiting for the network to settle"):
            missing = settle(lab, SETTLE_WAIT_S)
        line(f"healed {what}")
        show_missing(missing)
        raise typer.Exit(EXIT_FINDINGS if missing else 0)
    bring_in(lab, what)
    if what.startswith("daemon-kill:"):
        again = "it was started again" if what.endswith("/agent") else "the agent starts it again"
        line(f"{what} was done; {again}")
        return
    which = f"--lab {name} " if name is not None else ""
    line(f"{what} is in effect; take it back with: bongsu lab fault {which}--heal {what}")


def _not_in_effect(lab: str, what: str) -> NoReturn:
    if what.startswith("daemon-kill:"):
        fail(f"{what} is not in effect: what was killed is started again by its node's agent")
    record = read_record(lab)
    faults = list(record.faults) if record is not None else []
    hint = "in effect: " + ", ".join(faults) if faults else f"no fault is in effect in lab {lab}"
    fail(f"{what} is not in effect, so there is nothing to take back", hint)


@app.command(name="test")
def run_tests(
    file: Annotated[
        Path | None, typer.Argument(help="Network file; without it, the lab that is up.")
    ] = None,
    name: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try every assertion of the file. A lab that was not up is raised, and removed afterwards."""
    from bongsu.lab.lifecycle import raise_lab, remove_lab, settle

    need_root()
    if file is None:
        lab = open_lab(name)
        raise typer.Exit(_try_all(lab, as_json))
    source = load_sound(file)
    with working("raising the lab") as spinner:
        lab = raise_lab(
            source.loaded.network, file, source.text, name=name, keep=False, progress=spinner.update
        )
    try:
        show_missing(settle(lab, 0))
        code = _try_all(lab, as_json)
    finally:
        remove_lab(lab.name)
    raise typer.Exit(code)


def _try_all(lab: Lab, as_json: bool) -> int:
    from bongsu.lab.evidence import keep_evidence
    from bongsu.lab.verdict import title, try_assertion

    verdicts: list[Verdict] = []
    if not lab.network.tests:
        fail("the file has no `tests:`, so there is nothing to try", code=EXIT_USAGE)
    for assertion in lab.network.tests:
        with working(title(assertion)):
            verdict = try_assertion(lab, assertion)
        verdicts.append(verdict)
        if not as_json:
            show_verdict(verdict)
    passed = sum(verdict.passed for verdict in verdicts)
    if as_json:
        print_json(
            [{"passed": v.passed, "title": v.title, "evidence": v.evidence} for v in verdicts]
        )
    else:
        line(f"{passed} of {len(verdicts)} assertions hold")
        if passed < len(verdicts) and (folder := keep_evidence(lab.name)):
            line(f"logs and routes are kept in {folder}")
    return 0 if passed == len(verdicts) else EXIT_FINDINGS


def show_verdict(verdict: "Verdict") -> None:
    """`[PASS]` or `[FAIL]`, the promise, and the evidence below it."""
    mark = "[green]\\[PASS][/]" if verdict.passed else "[bold red]\\[FAIL][/]"
    out.print(f"{mark} {verdict.title.replace('[', chr(92) + '[')}", soft_wrap=True)
    for text in verdict.evidence:
        out.print(f"       {text}", style="dim", markup=False, soft_wrap=True)
