"""References of the declared tests: vantage points, targets, PoPs and what a fault breaks."""

from ipaddress import ip_address
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import KNOWN, Parts, hint, mapping, sequence

ROUTING = {"bird": ("bird",), "frr": ("bgpd", "zebra")}
"""What routes -> the daemons of it that run under the agent, which a fault may kill; `ike` beside them."""
EXPECTATIONS = ("reach", "entry", "path", "unreachable", "outage")


def test_problems(parts: Parts) -> None:
    """Judge every assertion."""
    pops = parts.pops()
    if parts.no_lab and any(_names_members(mapping(item)) for item in parts.tests):
        words = "they name hosts or vantage points of a lab, and there is no `lab:` section"
        parts.say(("tests",), words, "describe the lab, or remove these tests", key=True)
    for index, item in enumerate(parts.tests):
        item = mapping(item)
        path = ("tests", index)
        if parts.has_lab:
            _sources(parts, path, item)
        target = item.get("to")
        if parts.has_lab and isinstance(target, str) and not _is_address(target):
            parts.want((*path, "to"), target, parts.hosts, "host")
        for key in ("pop", "then_pop"):
            parts.want((*path, key), item.get(key), pops, "PoP")
        if isinstance(item.get("fault"), str):
            _fault(parts, (*path, "fault"), item["fault"])


def _names_members(item: dict[str, Any]) -> bool:
    target = item.get("to")
    return bool(sequence(item.get("from"))) or (isinstance(target, str) and not _is_address(target))


def _sources(parts: Parts, path: Path, item: dict[str, Any]) -> None:
    everyone = item.get("from", "vantages") == "vantages"
    if everyone and not parts.vantages and item.get("expect") in EXPECTATIONS:
        listing = ", ".join(list(parts.hosts)[:KNOWN])
        say = f"name hosts: `from: [{listing}]`" if listing else "add one to lab.vantages"
        parts.say((*path, "from") if "from" in item else path, "the lab has no vantage point", say)
    # Which way the Internet goes is seen from the Internet only.
    outside = item.get("expect") in ("entry", "path") or "then_pop" in item
    for place, name in enumerate(sequence(item.get("from"))):
        at = (*path, "from", place)
        if outside and isinstance(name, str) and name in parts.hosts:
            parts.say(
                at,
                f"{name} is a host, and this is seen from the Internet only",
                hint(name, parts.vantages),
            )
        else:
            known = parts.vantages if outside else [*parts.vantages, *parts.hosts]
            parts.want(at, name, known, "vantage point" if outside else "vantage point or host")


def _fault(parts: Parts, path: Path, fault: str) -> None:
    kind, _, where = fault.partition(":")
    name, _, rest = where.partition("/")
    if kind == "daemon-kill":
        parts.want(path, name, [*parts.nodes, *parts.clouds], "node")
        daemons = _daemons(parts, name)
        if rest and rest not in (*daemons, "agent"):
            parts.say(path, f"{name} runs no daemon {rest}", "daemons: " + ", ".join(daemons))
        elif not rest:
            parts.say(path, "which daemon?", f"daemon-kill:{name}/{daemons[0]}")
    elif kind == "node-kill" and name in parts.clouds and rest in parts.vpn_tunnels:
        return
    elif kind == "node-kill":
        parts.want(path, where, [*parts.nodes, *parts.clouds], "node")
    elif kind == "wrong-key":
        parts.want(path, where, parts.vpn_tunnels, "tunnel of a VPN")
    elif kind in ("link-down", "silent-loss"):
        lines = [*parts.tunnels, *parts.vpn_tunnels] if kind == "silent-loss" else []
        if where in lines:
            return
        members = [*parts.nodes, *parts.clouds, *parts.ases, *parts.vantages]
        what = "node, AS or tunnel" if kind == "silent-loss" else "node or AS"
        if name not in members:
            parts.say(path, f'there is no {what} "{name}"', hint(name, [*members, *lines]))
        elif rest and name in parts.nodes and rest not in parts.outward(name):
            kinds = [role for role in ("uplink", "link") if parts.interfaces(name, role)]
            known = [*parts.outward(name), *parts.ases]
            parts.want(path, rest, known, f"{' or '.join(kinds) or 'uplink'} of {name} named")


def _daemons(parts: Parts, name: str) -> list[str]:
    """What a node, or a cloud's stand-in, runs; what it routes with may be misspelt, and is told then."""
    routing = (
        "frr" if name in parts.clouds else mapping(parts.nodes.get(name)).get("routing", "bird")
    )
    found = list(ROUTING.get(routing, ())) if isinstance(routing, str) else []
    ends = [mapping(vpn).get(key) for vpn in parts.vpns.values() for key in ("site", "cloud")]
    return (found or [each for group in ROUTING.values() for each in group]) + (
        ["ike"] if name in ends else []
    )


def _is_address(value: Any) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
