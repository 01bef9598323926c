"""References of the declared tests: vantage points, targets, PoPs and what a fault breaks."""

from ipaddress import ip_address
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import Parts, hint, mapping, sequence

DAEMONS = ("bird",)
"""Daemons that a node runs under its agent, and a fault may kill."""


def test_problems(parts: Parts) -> None:
    """Judge every assertion."""
    pops = [name for name, node in parts.nodes.items() if mapping(node).get("role") == "pop"]
    for index, item in enumerate(parts.tests):
        item = mapping(item)
        path = ("tests", index)
        for place, name in enumerate(sequence(item.get("from"))):
            parts.want((*path, "from", place), name, parts.vantages, "vantage point")
        target = item.get("to")
        if isinstance(target, str) and not _is_address(target):
            parts.want((*path, "to"), target, parts.hosts, "host")
        for key in ("pop", "then_pop"):
            parts.want((*path, key), item.get(key), pops, "PoP")
        if isinstance(item.get("fault"), str):
            _fault(parts, (*path, "fault"), item["fault"])


def _fault(parts: Parts, path: Path, fault: str) -> None:
    kind, _, where = fault.partition(":")
    name, _, rest = where.partition("/")
    if kind == "daemon-kill":
        parts.want(path, name, parts.nodes, "node")
        if rest and rest not in DAEMONS:
            parts.say(path, f"{name} runs no daemon {rest}", "daemons: " + ", ".join(DAEMONS))
        elif not rest:
            parts.say(path, "which daemon?", f"daemon-kill:{name}/{DAEMONS[0]}")
    elif kind == "node-kill":
        parts.want(path, where, parts.nodes, "node")
    elif kind in ("link-down", "silent-loss"):
        if kind == "silent-loss" and where in parts.tunnels:
            return
        members = [*parts.nodes, *parts.ases, *parts.vantages]
        what = "node, AS or tunnel" if kind == "silent-loss" else "node or AS"
        if name not in members:
            tunnels = parts.tunnels if kind == "silent-loss" else ()
            parts.say(path, f'there is no {what} "{name}"', hint(name, [*members, *tunnels]))
        elif rest and name in parts.nodes and rest not in parts.interfaces(name, "uplink"):
            known = parts.interfaces(name, "uplink")
            parts.want(path, rest, [*known, *parts.ases], f"uplink of {name} named")


def _is_address(value: Any) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
