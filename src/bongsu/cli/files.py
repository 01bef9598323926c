"""Commands on the file alone: check, render, plan, explain, schema. Nothing is touched but output."""

import shutil
from difflib import get_close_matches
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer

from bongsu.checks import Severity, codes
from bongsu.checks import explain as page_of
from bongsu.cli.helper import write_pages
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, JsonOption, fail, line, out, print_json
from bongsu.cli.output import text as write
from bongsu.cli.source import (
    FileArgument,
    Source,
    UnreadableError,
    finding_dict,
    load,
    load_sound,
    problem_dict,
    show_findings,
    show_problems,
)
from bongsu.intent import IntentError, model_schema
from bongsu.intent.problem import Problem
from bongsu.model.network import Network

CLOSE = 3
"""Codes that may have been meant: more are no help."""
ALIKE = 0.7
"""A wrong character or a missing one, not another check of the same number."""


def check(
    file: FileArgument,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a network file: every error and every finding, with its line.

    Exit 1 if there is an error; warnings leave it at 0, unless --strict.
    """
    try:
        source = load(file)
    except UnreadableError as error:
        if not as_json:
            fail(str(error), code=EXIT_USAGE)
        print_json(_verdict([Problem(str(file), 1, 1, (), None, str(error))], None, strict))
        raise typer.Exit(EXIT_USAGE) from None
    except IntentError as error:
        if as_json:
            print_json(_verdict(error.problems, None, strict))
        else:
            show_problems(error, file)
        raise typer.Exit(EXIT_FINDINGS) from None
    verdict = _verdict([], source, strict)
    if as_json:
        print_json(verdict)
    else:
        show_findings(source, source.findings)
        network = source.loaded.network
        counts = [
            _count(number, severity.value)
            for severity in Severity
            if (number := sum(f.severity is severity for f in source.findings))
        ]
        line(
            f"{file}: {_count(len(network.nodes), 'node')}, "
            f"{_tunnels(network)}, "
            f"{len(codes())} checks: {', '.join(counts) or 'all is well'}"
        )
    if not verdict["ok"]:
        raise typer.Exit(EXIT_FINDINGS)


def _tunnels(network: Network) -> str:
    """How many there are, and accelerators; of a kind that there is not, nothing."""
    kinds = {
        "tunnel": len(network.tunnels),
        "VPN tunnel": sum(len(vpn.tunnels) for vpn in network.vpns.values()),
        "accelerator": len(network.accelerators),
    }
    return ", ".join(_count(n, kind) for kind, n in kinds.items() if n) or "0 tunnels"


def _verdict(problems: list[Problem], source: Source | None, strict: bool) -> dict[str, object]:
    """What `check --json` prints, whatever became of the file.

    `problems` are why it is no network; only a file without them has `findings`.
    """
    findings = source.findings if source is not None else []
    errors = len(problems) + sum(f.severity is Severity.ERROR for f in findings)
    warnings = sum(f.severity is Severity.WARNING for f in findings)
    return {
        "ok": errors == 0 and not (strict and warnings),
        "errors": errors,
        "warnings": warnings,
        "problems": [problem_dict(problem) for problem in problems],
        "findings": [finding_dict(source, f) for f in findings] if source is not None else [],
    }


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def render(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write bundles DIR/NODE/ (files, plan, manifest)."),
    ] = None,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    helper: Annotated[
        bool,
        typer.Option(
            "--helper",
            help="Instead, a page for each VPN: what to do on both sides (DIR/VPN.md, .html).",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write every node's native configuration: to the terminal, or as bundles with -o."""
    from bongsu.render import render_node
    from bongsu.render.bundle import make_bundle

    source = load_sound(file)
    if node is not None and node not in source.plans:
        fail(f"no node {node} in {file}", "nodes: " + ", ".join(source.plans), EXIT_USAGE)
    if helper:
        write_pages(source, file, node, output, as_json=as_json)
        return
    plans = {name: plan for name, plan in source.plans.items() if node in (None, name)}
    if output is not None:
        for name, plan in plans.items():
            bundle = make_bundle(plan)
            _replace(output / name, bundle.to_tree())
            line(f"{output / name}: {len(bundle.files)} files, plan {plan.digest()[:12]}")
        if node is None:
            _drop_old_bundles(output, set(plans))
        return
    rendered = {name: render_node(plan) for name, plan in plans.items()}
    if as_json:
        print_json(rendered)
        return
    for name, files in rendered.items():
        for path, text in files.items():
            out.print(f"# {name}: {path}", style="bold cyan", markup=False, soft_wrap=True)
            write(text)


def _replace(directory: Path, tree: dict[str, str]) -> None:
    """Write the tree beside and put it in the directory's place: an agent never sees a mixture."""
    if directory.exists() and not (directory / "manifest.json").is_file():
        fail(f"{directory} is there and is no bundle, so it was left alone", code=EXIT_USAGE)
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        for relative, text in tree.items():
            target = beside / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        beside.chmod(0o755)
        if directory.exists():
            directory.rename(beside / ".old")
        beside.rename(directory)
        shutil.rmtree(directory / ".old", ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _drop_old_bundles(output: Path, wanted: set[str]) -> None:
    """Bundles of nodes that the network has no more."""
    for entry in output.iterdir():
        if entry.name not in wanted and (entry / "manifest.json").is_file():
            shutil.rmtree(entry)
            line(f"{entry}: removed, the network has no such node")


def explain(
    code: Annotated[str | None, typer.Argument(help="Code of a check, such as BGP001.")] = None,
) -> None:
    """Print what a check's code means, why it matters and how to mend it."""
    if code is None:
        for name in codes():
            title = page_of(name).splitlines()[0].lstrip("# ")
            line(title if title.startswith(name) else f"{name}  {title}")
        return
    try:
        text = page_of(code)
    except KeyError:
        close = sorted(get_close_matches(code.upper(), codes(), CLOSE, ALIKE))
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        fail(
            f"no check has the code {code}", f"{meant}bongsu explain lists all of them", EXIT_USAGE
        )
    if out.is_terminal:
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        line(text.rstrip())


def schema() -> None:
    """Print the JSON Schema of the network file, for editors."""
    print_json(model_schema())
