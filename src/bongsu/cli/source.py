"""The network file of a command: read, judged, and located."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bongsu.checks import Finding, Severity, run_checks
from bongsu.cli.collector import uncollected
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, err, fail, print_json
from bongsu.intent import IntentError, Loaded, load_text
from bongsu.intent.problem import Problem, path_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan

FileArgument = Annotated[
    Path, typer.Argument(help="Network file (YAML), or - for standard input.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]

SIZE_LIMIT = 64 * 1024 * 1024
"""Characters; 3,000 sites are some 3 MB."""


@dataclass(frozen=True)
class Source:
    """A file that describes a network, and what follows from it."""

    text: str
    loaded: Loaded
    plans: dict[str, NodePlan]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """Findings that break the network."""
        return [finding for finding in self.findings if finding.severity is Severity.ERROR]


def read(path: Path) -> str:
    """The text of the file; ends with a usage error if it cannot be read."""
    try:
        if str(path) == "-":
            return sys.stdin.read(SIZE_LIMIT)
        if path.is_dir():
            fail(f"{path} is a directory", code=EXIT_USAGE)
        return path.read_text("utf-8")
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}", code=EXIT_USAGE)
    except UnicodeDecodeError as error:
        fail(f"{path} is not UTF-8 (byte {error.start})", code=EXIT_USAGE)


def load(path: Path, *, as_json: bool = False) -> Source:
    """The network of the file and all findings; ends with every error of the file, if it has any."""
    text = read(path)
    with uncollected():
        return _made(text, path, as_json)


def _made(text: str, path: Path, as_json: bool) -> Source:
    try:
        loaded = load_text(text, str(path))
    except IntentError as error:
        if as_json:
            print_json({"file": str(path), "problems": [_problem(item) for item in error.problems]})
        else:
            for problem in error.problems:
                err.print(problem.text(), markup=False, soft_wrap=True)
            count = len(error.problems)
            err.print(f"[bold red]{count} error{'s' * (count > 1)}[/] in {path}")
        raise typer.Exit(EXIT_FINDINGS) from None
    plans = compile_network(loaded.network)
    return Source(text, loaded, plans, run_checks(loaded.network, plans))


def load_sound(path: Path) -> Source:
    """Like `load`, and ends with the findings if one of them is an error."""
    source = load(path)
    if source.errors:
        show_findings(source)
        fail(f"{path} has errors, so nothing was done", hint="bongsu explain CODE says more")
    return source


def show_findings(source: Source) -> None:
    """Findings as text, on standard error."""
    colour = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for finding in source.findings:
        place = source.loaded.locate(finding.path)
        severity = finding.severity.value
        err.print(f"{place.file}:{place.line}:{place.column}: ", end="", markup=False)
        err.print(f"[{colour[severity]}]{severity}[/] [bold]{finding.code}[/] ", end="")
        err.print(f"{path_text(finding.path)}: {finding.message}", markup=False, soft_wrap=True)
        if finding.hint:
            err.print(f"    hint: {finding.hint}", markup=False, soft_wrap=True)


def finding_dict(source: Source, finding: Finding) -> dict[str, object]:
    """A finding as JSON has it."""
    place = source.loaded.locate(finding.path)
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": path_text(finding.path),
        "message": finding.message,
        "hint": finding.hint,
    }


def _problem(item: Problem) -> dict[str, object]:
    names = ("file", "line", "column", "value", "message", "hint")
    return {name: getattr(item, name) for name in names} | {"path": path_text(item.path)}
