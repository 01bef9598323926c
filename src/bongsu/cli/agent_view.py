"""An agent's word on its node, and its events, as text. Pure: no clock, no terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from bongsu.cli.show.keepalive_table import NONE, ago, quantity

TUNNEL = ("Tunnel", "Peer", "Line", "BFD", "MTU", "In", "Out", "Dropped")
SESSION = ("Session", "State", "Since", "BGP")
DAEMON = ("Daemon", "State", "Up for", "Restarts")
GAP = "  "
BY_RIGHT = {"MTU", "In", "Out", "Dropped", "Up for", "Restarts"}
"""Columns of figures."""


def status_text(status: Mapping[str, Any]) -> str:
    """What the control request `status` answers, as a heading and up to three tables."""
    parts = [_heading(status)]
    if tunnels := status["tunnels"]:
        parts.append(columns(TUNNEL, [_tunnel(tunnel) for tunnel in tunnels]))
    if sessions := status["bgp"]:
        rows = [(one["name"], one["state"], one["since"], one["info"] or NONE) for one in sessions]
        parts.append(columns(SESSION, rows))
    if daemons := status["daemons"]:
        parts.append(columns(DAEMON, [_daemon(daemon) for daemon in daemons]))
    return "\n\n".join(parts)


def event_text(event: Mapping[str, Any]) -> str:
    """One entry of what `events` answers, on one line: number, time (UTC), level, what and why."""
    day, _, clock = event["time"].partition("T")
    what = " ".join(part for part in (event["kind"], event["subject"]) if part)
    details = ", ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in event["details"].items()
        if value is not None
    )
    text = f"{event['sequence']} {day} {clock[:12]} {event['level']} {what}"
    if event["cause"]:
        text += f": {event['cause']}"
    return f"{text} ({details})" if details else text


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headings, each column as wide as its widest cell."""
    lines = [headings, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headings))]
    return "\n".join(
        GAP.join(
            cell.rjust(width) if heading in BY_RIGHT else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        ).rstrip()
        for line in lines
    )


def _heading(status: Mapping[str, Any]) -> str:
    lives = f"agent {status['pid']} up for {ago(status['uptime_s'])}"
    if status["node"] is None:
        return f"no bundle is applied; {lives}"
    backend = f"GRE by {status['backend']}" if status["backend"] else "no GRE"
    return (
        f"{status['node']} of {status['network']}: {status['role']}, {backend}, "
        f"plan {status['plan'][:12]}; {lives}"
    )


def _tunnel(tunnel: Mapping[str, Any]) -> tuple[str, ...]:
    counted = tunnel["counters"]
    figures: tuple[str, ...] = (NONE,) * 3
    if counted is not None:
        counts = (counted["rx_packets"], counted["tx_packets"], sum(counted["drops"].values()))
        figures = tuple(map(quantity, counts))
    sessions = "/".join(session["state"].lower() for session in tunnel["bfd"])
    names = (tunnel["name"], tunnel["peer"], tunnel["line_protocol"] or NONE, sessions or NONE)
    return (*names, str(tunnel["mtu"]), *figures)


def _daemon(daemon: Mapping[str, Any]) -> tuple[str, ...]:
    running = daemon["running"]
    lives = ago(daemon["uptime_s"]) if running else NONE
    return (daemon["name"], "running" if running else "down", lives, str(daemon["restarts"]))
