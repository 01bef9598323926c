"""From what the agent says of itself to rows of series. Pure: dictionaries in, rows out.

A figure that is not known is NaN, which the tower does not keep. Counters go as they are: whoever
draws a rate knows how to treat one that begins anew.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bongsu.wire.messages import Row

Table = Mapping[str, Any]

TUNNEL = (
    "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "too_big_sent", "too_big_received", "drops",
    "up", "keepalives_sent", "keepalives_received", "keepalives_lost", "rtt_ms",
)  # fmt: skip
"""`up` is the line protocol, which a tunnel without keepalive does not have."""
PATH = ("up", "probes", "loss", "p50_ms", "p99_ms", "jitter_ms")
ACCELERATOR = (
    "up_packets", "up_bytes", "up_drops", "down_packets", "down_bytes", "down_drops", "fragments",
    "fragmented", "too_big_sent", "unrepaired", "moved",
)  # fmt: skip
VPN = (
    "up", "probes_sent", "probes_answered", "loss", "rtt_ms", "bytes_in", "bytes_out", "rekeys",
    "falls",
)  # fmt: skip


def tunnels(counters: Table, keepalive: Callable[[str], Table | None]) -> list[Row]:
    """GRE tunnels: counters by name, as the backend has them, and what keepalives see."""
    rows = []
    for name, counted in counters.items():
        line = keepalive(name) or {}
        state = line.get("line_protocol")
        figures = [counted.get(key) for key in TUNNEL[:6]]
        figures += [
            _total(counted.get("drops")),
            None if state is None else state == "up",
            line.get("sent"), line.get("received"), line.get("lost"),
            (line.get("rtt_ms") or {}).get("last"),
        ]  # fmt: skip
        rows.append(_row(name, figures))
    return rows


def paths(answer: Table) -> list[Row]:
    """Paths to other PoPs, by the far end's name."""
    return [
        _row(each["to"], [each["state"] == "alive", *(each[key] for key in PATH[1:])])
        for each in answer["paths"]
    ]


def accelerators(counters: Mapping[str, Table]) -> list[Row]:
    """What each accelerator has carried on this node."""
    rows = []
    for name, counted in counters.items():
        figures: list[Any] = []
        for direction in ("up", "down"):
            carried = counted[direction]
            figures += [carried["packets"], carried["bytes"], _total(carried["drops"])]
        rows.append(_row(name, figures + [counted[key] for key in ACCELERATOR[6:]]))
    return rows


def vpns(answer: Table) -> list[Row]:
    """IPsec tunnels; bytes are those of the security associations that are up."""
    rows = []
    for each in answer["tunnels"]:
        probe = each["probe"] or {}
        figures = [
            each["state"] == "up",
            probe.get("sent"), probe.get("answered"), probe.get("loss"), probe.get("rtt_ms"),
            sum(sa["bytes_in"] for sa in each["esp"]), sum(sa["bytes_out"] for sa in each["esp"]),
            each["rekeys"], each["falls"],
        ]  # fmt: skip
        rows.append(_row(each["name"], figures))
    return rows


def _row(subject: str, figures: Iterable[Any]) -> Row:
    return Row(subject, tuple(math.nan if each is None else float(each) for each in figures))


def _total(drops: Mapping[str, int] | None) -> int | None:
    return None if drops is None else sum(drops.values())
