"""What the monitor is to look at, as people say it and as the programs read it.

A change takes effect with the next packet: the programs are neither reloaded nor attached anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np

from bongsu.system.flow import layout

EVERY_MOST = 1 << 14
"""N of 1:N: an aggregate of 65,535 segments, times this, is as much as a place can count at once."""


class FlowError(Exception):
    """The operator asked the monitor for what it cannot do; the text says what and what can."""


@dataclass(frozen=True)
class Filter:
    """Flows of this protocol (IP's number) one end of which has this port and is in this prefix.

    What is None says nothing.
    """

    protocol: int | None = None
    port: int | None = None
    prefix: IPv4Network | IPv6Network | None = None


@dataclass(frozen=True)
class Choice:
    """Metrics, sampling and filters.

    Of each `every` packets one is looked at, by chance, and counted as `every`; HTTP and handshakes
    are then seen as seldom. Flows that fit none of `filters` are not counted; without any, all are.
    """

    rtt: bool = True
    ports: bool = True
    dscp: bool = True
    http: bool = False
    every: int = 1
    filters: Sequence[Filter] = ()


def record_of(choice: Choice) -> Any:
    """The choice as a record (layout.CHOICE). Errors: FlowError."""
    if not 1 <= choice.every <= EVERY_MOST:
        raise FlowError(f"sampling 1:{choice.every}: N is between 1 and {EVERY_MOST}")
    if len(choice.filters) > layout.FILTERS:
        raise FlowError(f"{len(choice.filters)} filters: there are at most {layout.FILTERS}")
    made: Any = np.zeros((), layout.CHOICE)
    names = {
        layout.RTT: choice.rtt,
        layout.PORTS: choice.ports,
        layout.DSCP: choice.dscp,
        layout.HTTP: choice.http,
    }
    made["metrics"] = sum(bit for bit, wanted in names.items() if wanted)
    made["every"], made["threshold"] = choice.every, (1 << 32) // choice.every - 1
    made["filters"] = len(choice.filters)
    for place, each in zip(made["filter"], choice.filters, strict=False):
        _write(place, each)
    return made


def _write(place: Any, one: Filter) -> None:
    if one.protocol is not None:
        if not 1 <= one.protocol <= 255:
            raise FlowError(f"filter on protocol {one.protocol}: it is between 1 and 255")
        place["proto"] = one.protocol
    if one.port is not None:
        if not 1 <= one.port <= 65535:
            raise FlowError(f"filter on port {one.port}: it is between 1 and 65535")
        place["port"] = one.port
    if one.prefix is not None:
        place["family"] = one.prefix.version
        for field, address in (
            ("prefix", one.prefix.network_address),
            ("mask", one.prefix.netmask),
        ):
            place[field] = np.frombuffer(address.packed.ljust(16, b"\0"), "u8")
