"""The network file of a command: read, judged, and located."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bongsu.checks import Finding, Severity, run_checks
from bongsu.cli.collector import uncollected
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, HANG, err, fail, out, sentence
from bongsu.intent import IntentError, Loaded, load_text
from bongsu.intent.problem import Problem, path_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan

FileArgument = Annotated[
    Path, typer.Argument(help="Network file (YAML), or - for standard input.", show_default=False)
]

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


class UnreadableError(Exception):
    """There is no text in the file; `str()` says why."""


def read(path: Path) -> str:
    """The text of the file. Raises UnreadableError."""
    try:
        if str(path) == "-":
            return sys.stdin.read(SIZE_LIMIT)
        if path.is_dir():
            raise UnreadableError(f"{path} is a directory")
        return path.read_text("utf-8")
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path} is not UTF-8 (byte {error.start})") from None


def load(path: Path) -> Source:
    """The network of the file and all findings. Raises UnreadableError and IntentError."""
    text = read(path)
    with uncollected():
        loaded = load_text(text, str(path))
        plans = compile_network(loaded.network)
        return Source(text, loaded, plans, run_checks(loaded.network, plans))


def load_sound(path: Path) -> Source:
    """The network of a command that does something with it: warnings are shown, errors end it."""
    try:
        source = load(path)
    except UnreadableError as error:
        fail(str(error), code=EXIT_USAGE)
    except IntentError as error:
        show_problems(error, path, to=err)
        raise typer.Exit(EXIT_FINDINGS) from None
    grave = [finding for finding in source.findings if finding.severity is not Severity.INFO]
    show_findings(source, grave, to=err)
    if source.errors:
        fail(f"{path} has errors, so nothing was done", hint="bongsu explain CODE says more")
    return source


def show_problems(error: IntentError, path: Path, *, to: Console = out) -> None:
    """Why the file is no network, as text: every problem, and how many there are."""
    for problem in error.problems:
        whole, _, hint = problem.text().partition("\n")
        sentence(whole, to=to)
        if hint:
            sentence(hint.strip(), to=to, indent=HANG)
    count = len(error.problems)
    sentence(f"{count} error{'s' * (count > 1)} in {path}", to=to, styles={r"^\d+ \w+": "bold red"})


def show_findings(source: Source, findings: Iterable[Finding], *, to: Console = out) -> None:
    """Findings as text, with their places."""
    colour = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for finding in findings:
        place = source.loaded.locate(finding.path)
        severity = finding.severity.value
        sentence(
            f"{place.file}:{place.line}:{place.column}: {severity} {finding.code} "
            f"{path_text(finding.path)}: {finding.message}",
            to=to,
            styles={
                rf"\b{severity}(?=\s+{finding.code})": colour[severity],
                rf"\b{finding.code}\b": "bold",
            },
        )
        if finding.hint:
            sentence(f"hint: {finding.hint}", to=to, indent=HANG)


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


def problem_dict(item: Problem) -> dict[str, object]:
    """A problem as JSON has it."""
    names = ("file", "line", "column", "value", "message", "hint")
    return {name: getattr(item, name) for name in names} | {"path": path_text(item.path)}
