"""What is known of accelerators, their sessions and the paths between PoPs, as JSON for `bongsu show`."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bongsu.agent.relay.endpoints import Endpoints, Group, describe
from bongsu.agent.relay.mesh import MeshShell
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RelayPlan
from bongsu.protocol.mesh.machine import SECOND, Mesh
from bongsu.protocol.mesh.packet import Leg, State
from bongsu.protocol.mesh.path import Way
from bongsu.protocol.mesh.window import Figures
from bongsu.protocol.mesh.words import named
from bongsu.system.relay import AcceleratorCounters, Occupancy, RelayBackend, Stray, layout

SESSIONS = 1000
"""Told at most in one answer: the busiest of late first."""


@dataclass(frozen=True)
class Reading:
    """What the plane says at one moment."""

    backend: str
    counters: dict[str, AcceleratorCounters]
    sessions: np.ndarray[Any, np.dtype[np.void]]
    spis: np.ndarray[Any, np.dtype[np.void]]
    stray: Stray
    occupancy: Occupancy


def read(plane: RelayBackend) -> Reading:
    """Ask the plane. Blocks."""
    return Reading(
        plane.name, plane.counters(), plane.sessions(), plane.spis(), plane.stray(),
        plane.occupancy(),
    )  # fmt: skip


def accelerators(
    node: str,
    plan: RelayPlan,
    reading: Reading,
    mesh: MeshShell,
    endpoints: Endpoints,
    repaired: dict[str, Any] | None,
) -> dict[str, Any]:
    """Every accelerator that enters or leaves here; `repaired` are the engine's figures, if it runs."""
    found = []
    for each in plan.accelerators:
        own = reading.sessions[reading.sessions["accelerator"] == each.name]
        leaving = own[own["role"] == "egress"]
        counted = leaving if each.egress_number == plan.number else own
        found.append(
            {
                "name": each.name,
                "roles": _roles(each, plan.number),
                "bandwidth_bps": each.bandwidth_bps,
                "regions": [
                    {
                        "name": region.name, "node": region.node, "address": str(region.address),
                        "public": str(region.public),
                    }
                    for region in each.regions
                ],
                "egress": each.egress,
                "off_address": str(each.off_address),
                "off_public": str(each.off_public),
                "paths": _paths(
                    each, node, plan.number, mesh, straight=reading.backend == "kernel"
                ),
                "listeners": [
                    _listener(listener, endpoints.groups.get((each.number, listener.name)))
                    for listener in each.listeners
                ],
                "sessions": len(counted),
                "proved": int(counted["proved"].sum()),
                "repair": _repair(each.number, repaired, mesh.names),
                **_counted(reading.counters.get(each.name)),
            }
        )  # fmt: skip
    return {
        "backend": reading.backend,
        "accelerators": found,
        "stray": asdict(reading.stray),
        "occupancy": asdict(reading.occupancy),
        "repair": repaired,
        "mesh": None if mesh.machine is None else {
            "interval_ms": mesh.machine.interval_ns / 1e6,
            "refused": dict(mesh.refused) | asdict(mesh.machine.told),
        },
    }  # fmt: skip


def sessions(reading: Reading, limit: int = SESSIONS) -> list[dict[str, Any]]:
    """Every session that leaves here and every client that enters here."""
    found = reading.sessions
    found = found[found["idle_s"].argsort(kind="stable")][:limit]
    spis: dict[int, list[dict[str, Any]]] = {}
    for each in reading.spis:
        spis.setdefault(int(each["serial"]), []).append(
            {
                "spi": f"{int(each['spi']):08x}", "direction": str(each["direction"]),
                "packets": int(each["packets"]), "bytes": int(each["bytes"]),
                "sequence": int(each["sequence"]), "idle_s": round(float(each["idle_s"]), 1),
            }
        )  # fmt: skip
    return [
        {
            "accelerator": str(each["accelerator"]),
            "listener": str(each["listener"]),
            "role": str(each["role"]),
            "kind": _kind(each),
            "client": _address(each["client"]),
            "client_port": int(each["client_port"]),
            "address": _address(each["address"]),
            "port": int(each["port"]),
            "off": _address(each["off"]) if each["role"] == "egress" else None,
            "off_port": int(each["off_port"]) if each["role"] == "egress" else None,
            "endpoint": _address(each["endpoint"]) if each["role"] == "egress" else None,
            "proved": bool(each["proved"]),
            "age_s": round(float(each["age_s"]), 1),
            "idle_s": round(float(each["idle_s"]), 1),
            "up": {"packets": int(each["up_packets"]), "bytes": int(each["up_bytes"])},
            "down": {"packets": int(each["down_packets"]), "bytes": int(each["down_bytes"])},
            "amplified": int(each["amplified"]),
            "spis": spis.get(int(each["serial"]), []) if each["role"] == "egress" else [],
        }
        for each in found
    ]


def paths(node: str, mesh: MeshShell, history: str | None = None) -> dict[str, Any]:
    """The matrix as this node knows it: its own paths, and what its peers said of theirs.

    With `history`, the name of a peer, also that path's past: a row for each window.
    """
    machine = mesh.machine
    if machine is None:
        return {"window_s": None, "paths": [], "told": [], "history": []}
    now = time.monotonic_ns()
    figures = machine.figures()
    told = machine.told_legs(now)
    return {
        "window_s": machine.settings.window_s,
        "paths": [
            {
                "from": node,
                "to": mesh.names[number],
                **_figures(figures[number]),
                **_way(machine, mesh, number, now),
            }
            for number in figures
        ],
        "told": [
            {"from": mesh.names[teller], "to": mesh.names[number], **_leg(leg)}
            for teller, legs in told.items()
            for number, leg in legs.items()
        ],
        "history": _history(mesh, history, now) if history is not None else [],
    }


def _roles(each: AcceleratorPlan, own: int) -> list[str]:
    entry = ["entry"] if any(region.number == own for region in each.regions) else []
    return entry + (["egress"] if each.egress_number == own else [])


def _paths(
    each: AcceleratorPlan, node: str, own: int, mesh: MeshShell, *, straight: bool
) -> list[dict[str, Any]]:
    """To the egress from an entry, and to the entries from the egress."""
    machine = mesh.machine
    if machine is None:
        return []
    ends = {region.number for region in each.regions} if each.egress_number == own else set()
    if any(region.number == own for region in each.regions):
        ends.add(each.egress_number)
    now = time.monotonic_ns()
    return [
        {"from": node, "to": mesh.names[number], **_used(machine, mesh, number, now, straight)}
        for number in machine.paths()
        if number in ends - {own}
    ]


def _used(machine: Mesh, mesh: MeshShell, number: int, now: int, straight: bool) -> dict[str, Any]:
    """The path that is best, or where nothing else is to be had, the straight one."""
    if not straight:
        return _way(machine, mesh, number, now)
    always = {"since_s": None, "last_change": None}
    return {**_told_way(machine.ways(number, now)[number], number, number, mesh), **always}


def _way(machine: Mesh, mesh: MeshShell, number: int, now: int) -> dict[str, Any]:
    path = machine.paths()[number]
    return {
        **_told_way(machine.ways(number, now)[path.next_hop], number, path.next_hop, mesh),
        "since_s": round((now - path.since) / SECOND, 1),
        "last_change": mesh.last.get(number),
    }


def _told_way(used: Way, number: int, next_hop: int, mesh: MeshShell) -> dict[str, Any]:
    known = used.state is State.ALIVE
    return {
        "way": named(number, next_hop, mesh.names),
        "way_state": used.state.name.lower(),
        "way_rtt_ms": _ms(used.rtt_ns) if known else None,
        "way_loss": round(used.loss, 4) if known else None,
    }


def _figures(seen: Figures) -> dict[str, Any]:
    return {
        "state": seen.state.name.lower(),
        "probes": seen.sent,
        "loss": round(seen.loss, 4),
        "p50_ms": _ms(seen.p50_ns),
        "p99_ms": _ms(seen.p99_ns),
        "avg_ms": _ms(seen.avg_ns),
        "jitter_ms": _ms(seen.jitter_ns),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    known = leg.state is not State.UNKNOWN and leg.rtt_ns > 0
    return {
        "state": leg.state.name.lower(),
        "loss": round(leg.loss, 4),
        "p50_ms": _ms(leg.rtt_ns) if known else None,
        "jitter_ms": _ms(leg.jitter_ns) if known else None,
    }


def _history(mesh: MeshShell, name: str, now: int) -> list[dict[str, Any]]:
    numbers = [number for number, known in mesh.names.items() if known == name]
    if not numbers or mesh.history is None:
        return []
    return [
        {
            "ago_s": round((now - int(row["at_ns"])) / SECOND, 1),
            "loss": round(float(row["loss"]), 4),
            **{
                key: _ms(int(row[f"{key.removesuffix('_ms')}_ns"]))
                for key in ("p50_ms", "p99_ms", "jitter_ms")
            },
            "way": named(numbers[0], int(row["next_hop"]), mesh.names),
        }
        for row in mesh.history.rows(numbers[0])
    ]


def _listener(listener: ListenerPlan, group: Group | None) -> dict[str, Any]:
    return {
        "name": listener.name,
        "protocol": listener.protocol,
        "ports": [f"{first}-{last}" if first != last else str(first)
                  for first, last in listener.ranges],
        "probe": listener.health.probe if listener.health else None,
        "repair": None if listener.repair is None else listener.repair.mode,
        "desperate": group.desperate if group is not None else False,
        "endpoints": describe(group) if group is not None else [],
    }  # fmt: skip


def _repair(
    number: int, repaired: dict[str, Any] | None, names: dict[int, str]
) -> list[dict[str, Any]]:
    """What is sent to each PoP with repair, and what its far end says of it."""
    if repaired is None:
        return []
    return [
        {
            "direction": row["kind"],
            "to": names.get(row["peer"], str(row["peer"])),
            "answers": repaired["alive"].get(str(row["peer"]), False),
            "mode": row["mode"],
            "packets": row["packets"],
            "overhead": round((row["parity_bytes"] / row["bytes"]) if row["bytes"] else 0.0, 4),
            "copies": row["copies"],
            **{key: row[key] for key in ("judged", "lost", "repaired", "late")},
        }
        for row in repaired["sent"]
        if row["accelerator"] == number
    ]


def _counted(counters: AcceleratorCounters | None) -> dict[str, Any]:
    return asdict(counters) if counters is not None else {"up": None, "down": None}


def _kind(session: Any) -> str:
    kinds = [name for name, seen in (("IKE", session["ike"]), ("ESP", session["esp"])) if seen]
    return "+".join(kinds) or str(session["protocol"]).upper()


def _address(raw: Any) -> str:
    return str(layout.address(raw))


def _ms(ns: int | None) -> float | None:
    return None if ns is None or ns < 0 else round(ns / 1e6, 3)
