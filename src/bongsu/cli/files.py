"""Commands on the file alone: check, render, plan, explain, schema. Nothing is touched but output."""

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer

from bongsu.checks import Severity, codes
from bongsu.checks import explain as page_of
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, err, fail, line, out, print_json
from bongsu.cli.output import text as write
from bongsu.cli.source import (
    FileArgument,
    JsonOption,
    finding_dict,
    load,
    load_sound,
    show_findings,
)
from bongsu.intent import model_schema


def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Judge a network file: every error and every finding, with its line."""
    source = load(file, as_json=as_json)
    if as_json:
        print_json(
            {"file": str(file), "findings": [finding_dict(source, f) for f in source.findings]}
        )
    else:
        show_findings(source)
        network = source.loaded.network
        counts = [
            f"{number} {severity.value}{'s' * (number != 1)}"
            for severity in Severity
            if (number := sum(f.severity is severity for f in source.findings))
        ]
        line(
            f"{file}: {len(network.nodes)} nodes, {len(network.tunnels)} tunnels, "
            f"{len(codes())} checks: {', '.join(counts) or 'all is well'}"
        )
    if any(f.severity is not Severity.INFO for f in source.findings):
        raise typer.Exit(EXIT_FINDINGS)


def render(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write bundles DIR/NODE/ (files, plan, manifest)."),
    ] = None,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write every node's native configuration: to the terminal, or as bundles with -o."""
    from bongsu.render import render_node
    from bongsu.render.bundle import make_bundle

    source = load_sound(file)
    if node is not None and node not in source.plans:
        fail(f"no node {node} in {file}", "nodes: " + ", ".join(source.plans), EXIT_USAGE)
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
            err.print(f"[bold cyan]# {name}: {path}[/]")
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


def plan(
    file: FileArgument, node: Annotated[str | None, typer.Option(help="Only this node.")] = None
) -> None:
    """Print the nodes' plans, JSON: what renderers and agents are given."""
    source = load(file)
    if node is not None and node not in source.plans:
        fail(f"no node {node} in {file}", "nodes: " + ", ".join(source.plans), EXIT_USAGE)
    plans = {name: plan for name, plan in source.plans.items() if node in (None, name)}
    print_json({name: plan.model_dump(mode="json") for name, plan in plans.items()})


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
        fail(f"no check has the code {code}", "codes: " + ", ".join(codes()), EXIT_USAGE)
    if out.is_terminal:
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        line(text.rstrip())


def schema() -> None:
    """Print the JSON Schema of the network file, for editors."""
    print_json(model_schema())
