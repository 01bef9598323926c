"""Whether a lab has settled: agents ready, sessions up, routes everywhere. Looks, never changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bongsu.lab.internet import session_symbol
from bongsu.lab.lab import Lab
from bongsu.model.base import Prefix
from bongsu.system.agent_client import AgentError
from bongsu.system.daemons.birdctl import BirdError

Sightings = dict[str, list[Prefix]]
"""Prefixes by vantage point."""


def agents_missing(lab: Lab) -> list[str]:
    """Nodes whose agent has not applied its bundle yet."""
    return [node for node in lab.topology.nodes if not _ready(lab, node).exists()]


def unsettled(lab: Lab) -> Iterator[str]:
    """What is still missing, in an operator's words; nothing once the lab has settled."""
    yield from _sessions_missing(lab)
    yield from _tunnels_missing(lab)
    yield from _vpns_missing(lab)
    yield from _routes_missing(lab)


def _ready(lab: Lab, node: str) -> Path:
    return lab.paths.node(node) / "run" / "bongsu" / "ready"


def _sessions_missing(lab: Lab) -> Iterator[str]:
    for router in lab.topology.routers.values():
        try:
            with lab.router(router.name) as bird:
                up = {p.name for p in bird.protocols() if p.established}
        except (OSError, BirdError):
            yield f"{router.name}: BIRD does not answer"
            continue
        for session in router.sessions:
            if session_symbol(session.name) not in up:
                yield f"{router.name}: BGP session {session.name} is not Established"


def _routes_missing(lab: Lab) -> Iterator[str]:
    items = [item for plan in lab.plans.values() for item in plan.announcements]
    announced = sorted({item.prefix for item in items}, key=_order)
    specifics = sorted({more for item in items for more in item.more_specifics}, key=_order)
    missing: Sightings = {}
    standing: Sightings = {}
    for vantage in lab.topology.vantages:
        missing[vantage] = [p for p in announced if not lab.as_path(vantage, p.network_address)]
        try:
            with lab.router(vantage) as bird:
                standing[vantage] = [p for p in specifics if bird.routes(str(p))]
        except (OSError, BirdError):
            yield f"{vantage}: BIRD does not answer"
    yield from summed_up(missing, "no route to {}")
    yield from summed_up(standing, "{} still announced in place of a lost PoP")


def summed_up(seen: Sightings, words: str) -> Iterator[str]:
    """What vantage points see, in one line for each set of prefixes: in `words`, `{}` is the set."""
    alike: dict[tuple[Prefix, ...], list[str]] = {}
    for vantage, prefixes in seen.items():
        if prefixes:
            alike.setdefault(tuple(prefixes), []).append(vantage)
    for same, vantages in alike.items():
        what = str(same[0])
        if len(same) > 1:
            what = f"{len(same)} prefixes ({same[0]} to {same[-1]})"
        yield f"{', '.join(vantages)}: {words.format(what)}"


def _order(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _tunnels_missing(lab: Lab) -> Iterator[str]:
    for node, plan in lab.plans.items():
        try:
            status = lab.agent(node).call("status")
        except AgentError as error:
            yield f"{node}: {error}"
            continue
        for session in status["bgp"]:
            if not session["established"]:
                yield f"{node}: BGP session {session['name']} is {session['info'] or session['state']}"
        seen = {tunnel["name"]: tunnel for tunnel in status["tunnels"]}
        for tunnel in plan.tunnels:
            state = seen.get(tunnel.name, {})
            if tunnel.keepalive is not None and state.get("line_protocol") != "up":
                yield f"{node}: {tunnel.name} line protocol is {state.get('line_protocol')}"
            if tunnel.bfd is not None and not _bfd_up(state):
                yield f"{node}: {tunnel.name} BFD is not Up"


def _bfd_up(state: dict[str, Any]) -> bool:
    sessions = state.get("bfd", [])
    return bool(sessions) and all(session["state"] == "Up" for session in sessions)


def _vpns_missing(lab: Lab) -> Iterator[str]:
    """IPsec tunnels that do not carry at either end, and clouds that have announced nothing yet."""
    for node, plan in lab.plans.items():
        if not plan.vpns:
            continue
        try:
            tunnels = {each["name"]: each for each in lab.agent(node).call("vpn")["tunnels"]}
            told = lab.agent(node).call("bgp")["neighbors"] if plan.cloud_peers else []
        except AgentError as error:
            yield f"{node}: {error}"
            continue
        for tunnel in plan.vpns:
            state = tunnels.get(tunnel.name, {})
            if state.get("state") != "up":
                verdict, cause = state.get("state") or "not there yet", state.get("cause")
                yield f"{node}: {tunnel.name} is {verdict}" + (f": {cause}" if cause else "")
            elif state.get("lowered"):
                yield f"{node}: routes over {tunnel.name} count less, for it was degraded"
        silent = {neighbor["address"] for neighbor in told if not neighbor["received"]}
        for peer in plan.cloud_peers:
            if node in lab.network.nodes and str(peer.address) in silent:
                yield f"{node}: nothing received from {peer.name} ({peer.address})"
