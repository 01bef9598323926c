"""An agent's word on accelerators and their sessions as lines of text. Pure: no clock, no terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from bongsu.cli.output import folded
from bongsu.cli.show.columns import Row, Table, clock, draw, size
from bongsu.cli.show.keepalive_table import ago, quantity

TABLE = Table(
    ("Accelerator", "Here", "Via", "Endpoints", "Sessions", "Up", "Down", "Dropped", "State"),
    frozenset({"Accelerator", "Here", "Via", "State"}),
    (("Via", 6), ("Accelerator", 4)),
    "State",
    {"up": "green", "degraded": "yellow", "down": "bold red"},
)
SESSIONS = Table(
    ("Kind", "Client", "Off port", "Endpoint", "Age", "Idle", "Up", "Down"),
    frozenset({"Kind", "Client", "Endpoint"}),
    (("Endpoint", 8), ("Client", 8)),
)
NONE = "-"
KERNEL = (
    "backend: kernel (NAT, for want of BPF): straight ways, no repair, no proof of clients, one endpoint"
    " for all; where they leave, a session's client is the PoP that they entered by"
)


def view(answer: dict[str, Any], width: int) -> Text:
    """The tables of one agent's answer to `accelerator`."""
    rows = [row(each) for each in answer["accelerators"]]
    text = draw(TABLE, rows, width, "no accelerator enters or leaves here")
    for note in [*_carrier(answer), *_stray(answer)]:
        text.append(f"\n{folded(note, width)}", style="dim")
    if answer.get("sessions") is not None:
        text.append("\n\n")
        text.append_text(session_table(answer["sessions"], width))
    return text


def all_carry(answer: dict[str, Any]) -> bool:
    """Whether every accelerator has a way and an endpoint that lives."""
    return all(state(each) != "down" for each in answer["accelerators"])


def state(each: Mapping[str, Any]) -> str:
    """`down` without a way or an endpoint that answers; `degraded` where one of several is missing."""
    ways = [path["way_state"] != "dead" for path in each["paths"]]
    groups = [
        [one["state"] in ("up", "unchecked") for one in listener["endpoints"]]
        for listener in each["listeners"]
        if listener["endpoints"]
    ]
    if (ways and not any(ways)) or any(not any(group) for group in groups):
        return "down"
    return "up" if all(ways) and all(all(group) for group in groups) else "degraded"


def row(each: Mapping[str, Any]) -> Row:
    """A row of one entry of `accelerators`."""
    endpoints = [one for listener in each["listeners"] for one in listener["endpoints"]]
    alive = sum(one["state"] in ("up", "unchecked") for one in endpoints)
    ways = list(dict.fromkeys(path["way"].removeprefix("through ") for path in each["paths"]))
    counted = [each[way] for way in ("up", "down") if each[way] is not None]
    cells = (
        each["name"],
        "+".join(each["roles"]),
        ", ".join(ways) or "local",
        f"{alive}/{len(endpoints)}" if endpoints else NONE,
        quantity(each["sessions"]),
        *([size(way["bytes"]) for way in counted] or [NONE, NONE]),
        quantity(sum(sum(way["drops"].values()) for way in counted)),
        state(each),
    )
    return Row(cells, tuple(_notes(each)))


def session_table(sessions: Sequence[Mapping[str, Any]], width: int) -> Text:
    """Every session under the accelerator that it is of."""
    text = Text()
    names = list(dict.fromkeys((each["accelerator"], each["role"]) for each in sessions))
    for name, role in names:
        own = [s for s in sessions if (s["accelerator"], s["role"]) == (name, role)]
        title = "sessions out of here" if role == "egress" else "clients in by here"
        text.append(f"{name}, {title}: {len(own)}\n", style="bold")
        text.append_text(draw(SESSIONS, [session_row(each) for each in own], width, "none"))
        text.append("\n")
    text.rstrip()
    return text if names else Text("  no session")


def session_row(each: Mapping[str, Any]) -> Row:
    """A row of one session, and a line for each of its SPIs."""
    notes = [
        f"SPI {spi['spi']} {spi['direction']}: {_packets(spi['packets'])},"
        f" {size(spi['bytes'])}, sequence {spi['sequence']}, idle {ago(spi['idle_s'])}"
        for spi in each["spis"]
    ]
    if not each["proved"]:
        # Nothing in any other UDP proves it, ever: that is a word only where something was kept back.
        provable = each["kind"] != "UDP"
        held = f"; {_packets(each['amplified'])} not sent to it" if each["amplified"] else ""
        if provable or held:
            said = "has not proved yet" if provable else "cannot prove"
            notes.insert(0, f"the client {said} where it is{held}")
    cells = (
        each["kind"],
        _with_port(each["client"], each["client_port"]),
        NONE if each["off_port"] is None else str(each["off_port"]),
        NONE if each["endpoint"] is None else _with_port(each["endpoint"], each["port"]),
        clock(each["age_s"]),
        ago(each["idle_s"]),
        size(each["up"]["bytes"]),
        size(each["down"]["bytes"]),
    )
    return Row(cells, tuple(notes))


def _notes(each: Mapping[str, Any]) -> list[str]:
    entries = ", ".join(f"{region['public']} at {region['node']}" for region in each["regions"])
    bought = each["bandwidth_bps"]
    cap = f", {bought // 1_000_000} Mb/s" if bought is not None else ""
    notes = [f"{entries} -> {each['off_public']} at {each['egress']}{cap}"]
    notes += [_path(path) for path in each["paths"]]
    for listener in each["listeners"]:
        notes += [
            f"endpoint {one['name']} of {listener['name']}: {_endpoint(one)}"
            for one in listener["endpoints"]
        ]
        if listener["desperate"]:
            notes.append(f"no endpoint of {listener['name']} answers: all are used all the same")
    for way in ("up", "down"):
        if each[way] is not None:
            notes.append(_direction(way, each[way]))
    notes += [_repair(stream) for stream in each.get("repair", [])]
    return notes


def _path(path: Mapping[str, Any]) -> str:
    if path["way_state"] == "dead":
        return f"path to {path['to']}: dead; the last way was {path['way']}"
    said = f"path to {path['to']}: {path['way']}"
    if path["since_s"] is not None:
        said += f" for {ago(path['since_s'])}"
    if path["way_rtt_ms"] is not None:
        said += f", RTT {path['way_rtt_ms']:.1f} ms, loss {path['way_loss'] * 100:.1f} %"
    if path["last_change"] is not None:
        said += f", because {path['last_change']['why']}"
    return said


def _endpoint(one: Mapping[str, Any]) -> str:
    where = one["address"] or one["target"]
    said = f"{where} {one['state']} for {ago(one['since_s'])}"
    if one["reason"]:
        said += f": {one['reason']}"
    if one["state"] == "down" and one["used"]:
        said += ", used all the same"
    return said


def _direction(way: str, counted: Mapping[str, Any]) -> str:
    said = f"{way}: {_packets(counted['packets'])}, {size(counted['bytes'])}"
    return f"{said}; dropped: {_drops(counted['drops'])}" if counted["drops"] else said


def _repair(stream: Mapping[str, Any]) -> str:
    said = f"repair {stream['direction']} to {stream['to']}: {stream['mode']}"
    if not stream["answers"]:
        return f"{said}, but its engine does not answer: sent the ordinary way"
    more = f"{stream['overhead'] * 100:.1f} % more" if stream["mode"] != "duplicate" else "twice"
    said += f", {_packets(stream['packets'])}, {more}"
    if stream["judged"]:
        left = max(stream["lost"] - stream["repaired"], 0) / stream["judged"]
        lost = stream["lost"] / stream["judged"]
        said += f"; {lost * 100:.2f} % lost on the way, {left * 100:.2f} % after repair"
    return f"{said}, {quantity(stream['late'])} late" if stream["late"] else said


def _carrier(answer: Mapping[str, Any]) -> list[str]:
    return [KERNEL] if answer.get("backend") == "kernel" else []


def _stray(answer: Mapping[str, Any]) -> list[str]:
    stray = answer["stray"]
    if stray is None:
        return []
    notes = []
    if stray["transit"]:
        notes.append(f"carried on between other PoPs: {_packets(stray['transit'])}")
    if stray["drops"]:
        notes.append(f"dropped, of no accelerator: {_drops(stray['drops'])}")
    return notes


def _packets(count: int) -> str:
    return f"{quantity(count)} packet{'s' if count != 1 else ''}"


def _drops(drops: Mapping[str, int]) -> str:
    most = sorted(drops.items(), key=lambda item: -item[1])
    return ", ".join(f"{quantity(count)} {why.replace('_', ' ')}" for why, count in most)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
