"""What every renderer needs to write a value into somebody else's language without surprises.

A value gets into a file only through one of these functions. Each admits exactly the alphabet that
its target needs, so that no name can end a string, a line or a block (the model's patterns say the
same; this is the second lock). A value outside of it raises RenderError, nothing is escaped away.
"""

import re
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from bongsu.model.base import Address, Interface, Prefix
from bongsu.plan.node import NodePlan

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:@_=, /-]{0,254}")
_PATH = re.compile(r"/[\w./@+-]+", re.ASCII)


class RenderError(ValueError):
    """A plan holds a value that must not get into a configuration file."""


def name(value: str) -> str:
    """A node's, neighbor's or network's name, as it is."""
    return _admit(_NAME, value, "name")


def symbol(value: str) -> str:
    """A name as an identifier: hyphens become underscores, which no name has (so none collide)."""
    return name(value).replace("-", "_")


def interface(value: str) -> str:
    """An interface name, as it is: no quote, slash, blank or wildcard can be in it."""
    return _admit(_INTERFACE, value, "interface name")


def address(value: Address | Interface | Prefix) -> str:
    """An address, interface address or prefix. A zone (fe80::1%eth0) is refused: it is free text."""
    kinds = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface | IPv4Network | IPv6Network
    if not isinstance(value, kinds) or getattr(value, "scope_id", None) is not None:
        raise RenderError(f"{value!r} is no plain address or prefix")
    return str(value)


def number(value: int) -> str:
    """A number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RenderError(f"{value!r} is no number that is 0 or more")
    return str(value)


def identity(value: str) -> str:
    """An IKE identity: an address, a name or a distinguished name. No quote or line end is in it."""
    return _admit(_IDENTITY, value, "IKE identity")


def path(value: str) -> str:
    """An absolute path on the node, without blanks or quotes."""
    return _admit(_PATH, value, "path")


def header(plan: NodePlan) -> list[str]:
    """The first lines of every file, without a comment sign and, since output is canonical, no time."""
    return [
        f"Made by bongsu: node {name(plan.node)} of network {name(plan.network)}.",
        f"Plan {plan.digest()}",
        "Do not edit: the next apply writes this file anew.",
    ]


def _admit(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RenderError(f"{value!r} is no {what}")
    return value
