"""How nftables writes sets and their elements. Every value passes bongsu.render.text on its way."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import cast

from bongsu.model.base import Prefix
from bongsu.render.text import address, interface

TCP_IP_HEADER = {4: 40, 6: 60}
"""Bytes of IP and TCP header without options; the MTU less these is the MSS (RFC 879, RFC 8201)."""


@dataclass(frozen=True)
class NamedSet:
    """A named set, or with values `key : value` a map."""

    name: str
    type: str
    elements: tuple[str, ...]
    kind: str = "set"
    interval: bool = False

    def text(self) -> str:
        """The declaration, indented for the table's body."""
        lines = [f"  {self.kind} {self.name} {{", f"    {self.type}"]
        if self.interval:
            lines.append("    flags interval")
        lines += ["    elements = {", *(f"      {e}," for e in self.elements), "    }", "  }"]
        return "\n".join(lines)


def by_tunnel(prefixes: dict[str, list[Prefix]], family: int) -> tuple[str, ...]:
    """Elements `interface . prefix`."""
    return tuple(
        f"{quoted(tunnel)} . {prefix}"
        for tunnel, of_tunnel in prefixes.items()
        for prefix in collapsed(of_tunnel, family)
    )


def collapsed(prefixes: Iterable[Prefix], family: int) -> tuple[str, ...]:
    """The prefixes of a family, joined where they can be: intervals of a set must not overlap."""
    mine = [prefix for prefix in prefixes if prefix.version == family]
    if len(mine) < 2:
        return tuple(address(prefix) for prefix in mine)
    if family == 4:
        merged: Iterable[Prefix] = collapse_addresses(cast(list[IPv4Network], mine))
    else:
        merged = collapse_addresses(cast(list[IPv6Network], mine))
    return tuple(address(prefix) for prefix in merged)


def quoted(name: str) -> str:
    """An interface's name."""
    return f'"{interface(name)}"'


def ip_of(family: int) -> str:
    """The header: `ip` or `ip6`."""
    return "ip" if family == 4 else "ip6"


def type_of(family: int) -> str:
    """The type of an address."""
    return "ipv4_addr" if family == 4 else "ipv6_addr"


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """In their order, each once."""
    return tuple(dict.fromkeys(items))
