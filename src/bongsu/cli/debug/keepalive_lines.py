"""A record of the agent's keepalive debugging as the line that `debug tunnel keepalive` prints.

Pure: records come from the control request `keepalive_debug`, and nothing else is known here.
"""

import re
from typing import Any

_TUNNEL = re.compile(r"tunnel(?=\d+$)")


def line(record: dict[str, Any]) -> str:
    """One record, without a line's end. KeyError if its event is unknown."""
    return f"{clock(record['time'])}: {_EVENTS[record['event']](record)}"


def clock(time: str) -> str:
    """`2026-01-31T01:19:16.019876+00:00` -> `01:19:16.019`, as IOS has it with `msec`."""
    return time.partition("T")[2][:12]


def interface(tunnel: str) -> str:
    """`tunnel0` is Tunnel0 to an operator; any other name is left as it is."""
    return _TUNNEL.sub("Tunnel", tunnel)


def _sent(record: dict[str, Any]) -> str:
    return (
        f"{interface(record['tunnel'])}: sending keepalive, "
        f"{record['local']}->{record['remote']} "
        f"(len={record['length']} ttl={record['ttl']}), counter={record['counter']}"
    )


def _reply(record: dict[str, Any]) -> str:
    return (
        f"{interface(record['tunnel'])}: keepalive received, "
        f"{record['remote']}->{record['local']}, "
        f"RTT {record['rtt_ns'] / 1e6:.3f} ms, resetting counter"
    )


def _line(record: dict[str, Any]) -> str:
    return (
        "%LINEPROTO-5-UPDOWN: Line protocol on Interface "
        f"{interface(record['tunnel'])}, changed state to {record['state']}"
    )


_EVENTS = {"sent": _sent, "reply": _reply, "line": _line}
