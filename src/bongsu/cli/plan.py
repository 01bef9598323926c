"""`bongsu plan`: the nodes' plans, or with --since what a change of the file will do before it does it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bongsu.cli.output import (
    EXIT_FINDINGS,
    EXIT_USAGE,
    HANG,
    JsonOption,
    err,
    fail,
    line,
    print_json,
    sentence,
)
from bongsu.cli.source import FileArgument, Source, UnreadableError, load, load_sound, show_problems
from bongsu.intent import IntentError
from bongsu.intent.problem import path_text
from bongsu.plan.change import Fate, NodeChange, Retype, node_changes, retypes
from bongsu.plan.node import NodePlan

LISTED = 6
"""Names on one line; of a hundred kept sessions the rest is no help."""


@dataclass(frozen=True)
class FileChanges:
    """Rendered files of a node, by path."""

    added: list[str]
    changed: list[str]
    removed: list[str]


def plan(
    file: FileArgument,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            help="An earlier state of the file: say in words what will change on each node.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="With --since: exit 1 if anything has to be typed elsewhere."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the nodes' plans (JSON), or with --since what a change of the file will do.

    Warnings are addresses that stand typed in at gateways which are not ours: of an accelerator's
    off address above all. They leave the exit code at 0, unless --strict.
    """
    source = load_sound(file)
    if since is not None:
        _since(source, file, since, node, as_json=as_json, strict=strict)
        return
    if node is not None and node not in source.plans:
        fail(f"no node {node} in {file}", "nodes: " + ", ".join(source.plans), EXIT_USAGE)
    plans = {name: plan for name, plan in source.plans.items() if node in (None, name)}
    print_json({name: plan.model_dump(mode="json") for name, plan in plans.items()})


def _since(
    source: Source, file: Path, since: Path, node: str | None, *, as_json: bool, strict: bool
) -> None:
    before = _earlier(since)
    changes = node_changes(before.plans, source.plans)
    if node is not None and node not in changes:
        fail(f"no node {node} in {file} or {since}", "nodes: " + ", ".join(changes), EXIT_USAGE)
    files = {
        name: _files(before.plans.get(name), source.plans.get(name))
        for name in changes
        if node in (None, name)
    }
    typed = retypes(before.loaded.network, source.loaded.network, before.plans, source.plans)
    if as_json:
        print_json(_document({name: changes[name] for name in files}, files, typed, strict))
    else:
        _say(typed, {name: changes[name] for name in files}, files)
    if strict and typed:
        raise typer.Exit(EXIT_FINDINGS)


def _earlier(path: Path) -> Source:
    """The earlier state: what is found in it is of no interest any more, but it has to be a network."""
    try:
        return load(path)
    except UnreadableError as error:
        fail(str(error), code=EXIT_USAGE)
    except IntentError as error:
        show_problems(error, path, to=err)
        raise typer.Exit(EXIT_FINDINGS) from None


def _files(old: NodePlan | None, new: NodePlan | None) -> FileChanges:
    """What differs but for the name of the plan, which every file has in its head."""
    before, after = _rendered(old), _rendered(new)
    return FileChanges(
        added=[path for path in after if path not in before],
        changed=[path for path in after if path in before and before[path] != after[path]],
        removed=[path for path in before if path not in after],
    )


def _rendered(plan: NodePlan | None) -> Mapping[str, str]:
    from bongsu.render import render_node

    if plan is None:
        return {}
    digest = plan.digest()
    return {path: text.replace(digest, "") for path, text in render_node(plan).items()}


def _document(
    changes: Mapping[str, NodeChange],
    files: Mapping[str, FileChanges],
    typed: list[Retype],
    strict: bool,
) -> dict[str, Any]:
    return {
        "ok": not (strict and typed),
        "warnings": [
            {
                "place": item.place,
                "path": path_text(item.path),
                "old": str(item.old),
                "new": None if item.new is None else str(item.new),
                "cause": item.cause,
            }
            for item in typed
        ],
        "nodes": {
            name: {
                "change": change.what,
                "files": asdict(files[name]),
                "changes": [asdict(fate) for fate in change.told],
                "kept": [{"kind": fate.kind, "name": fate.name} for fate in change.kept],
            }
            for name, change in changes.items()
        },
    }


def _say(
    typed: list[Retype], changes: Mapping[str, NodeChange], files: Mapping[str, FileChanges]
) -> None:
    for item in typed:
        sentence(f"warning: {item}", styles={"^warning": "bold yellow"})
        sentence(f"hint: {_advice(item)}", indent=HANG)
    for name, change in changes.items():
        lines = list(_lines(change, files[name]))
        if change.what != "kept" or lines:
            line(f"{name}: {change.what}")
            for each in lines:
                sentence(each, indent="  ")
    same = [name for name, change in changes.items() if change.what == "kept"]
    if same:
        sentence(f"unchanged: {_named(same)}")


def _advice(item: Retype) -> str:
    if item.new is None:
        return f"it goes on sending to {item.old}, or waiting for it: have it taken out there"
    return f"type {item.new} there as the nodes get their bundles; until both are done the tunnel is down"


def _lines(change: NodeChange, files: FileChanges) -> Iterator[str]:
    for word in ("added", "changed", "removed"):
        if paths := getattr(files, word):
            yield f"files {word}: {', '.join(paths)}"
    for fate in change.told:
        yield _fate(fate)
    by_kind: dict[str, list[str]] = {}
    for fate in change.kept if change.what == "changed" else []:
        by_kind.setdefault(fate.kind, []).append(fate.name)
    for kind, names in by_kind.items():
        yield f"{kind}s kept: {_named(names)}"


def _fate(fate: Fate) -> str:
    why = f" ({', '.join(fate.why)})" if fate.why else ""
    return f"{fate.kind} {fate.name}: {_verdict(fate)}{why}"


def _verdict(fate: Fate) -> str:
    match fate.kind, fate.what, fate.ends:
        case "IPsec tunnel", "changed", True:
            return "IKE is negotiated anew"
        case "BGP session", "changed", True:
            return "the session is reset"
        case "GRE tunnel", "changed", True:
            return "the tunnel is built anew"
        case "accelerator", "changed", True:
            return "sessions end"
        case "accelerator", "changed", False:
            return "changed, its sessions stay"
        case "IPsec tunnel" | "BGP session" | "GRE tunnel", "changed", False:
            return "changed, and stays up"
        case _:
            return fate.what


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
