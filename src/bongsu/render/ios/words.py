"""How IOS writes addresses, prefixes and names. Every value passes bongsu.render.text on its way."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network

from bongsu.model.base import Address, Family, Interface, Prefix
from bongsu.plan.ios_names import interface_name, tunnel_numbers
from bongsu.plan.node import NodePlan
from bongsu.render.text import RenderError, address, name, number

Section = list[str]
"""A command and, indented by a blank, the commands of its mode."""


class Names:
    """IOS's names of one node's interfaces and of what is made for its tunnels."""

    def __init__(self, plan: NodePlan) -> None:
        self._plan = plan
        own, clouds = (t.name for t in plan.tunnels), (vpn.name for vpn in plan.vpns)
        self._tunnels = tunnel_numbers([*own, *clouds])
        self._sources = {
            own.ip: self.port(item.name)
            for item in plan.interfaces
            for family in (4, 6)
            # An interface as a tunnel's source stands for its first address of the family.
            for own in [a for a in item.addresses if a.version == family][:1]
        }

    def port(self, of: str) -> str:
        """`gi0-0` -> `GigabitEthernet0/0`."""
        found = interface_name(of)
        if found is None:
            raise RenderError(f"{of!r} is no interface of IOS")
        return found

    def tunnel(self, of: str) -> str:
        """`Tunnel7`."""
        return f"Tunnel{number(self._tunnels[of])}"

    def of_tunnel(self, of: str, what: str = "") -> str:
        """`TUNNEL7`, `TUNNEL7-IN`: what a list or a profile that belongs to a tunnel is called."""
        return self.tunnel(of).upper() + (f"-{what}" if what else "")

    def source(self, local: Address) -> str:
        """What `tunnel source` is given: the interface where it can be, so that it is seen."""
        return self._sources.get(local, address(local))


_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[ -;=?-~]+")


def placeholder(secret: str) -> str:
    """`<env:NAME>`: where a person puts the secret. Nothing that could end a line is in it."""
    if not _REFERENCE.fullmatch(secret):
        raise RenderError("a secret's reference holds characters that a configuration cannot")
    return f"<{secret}>"


def in_vrf(vrf: str | None) -> str:
    """` vrf NAME`, or nothing for the global table."""
    return f" vrf {name(vrf)}" if vrf is not None else ""


def own_address(value: Interface) -> str:
    """`ip address 192.0.2.1 255.255.255.0`, `ipv6 address 2001:db8::1/64`."""
    if value.version == 6:
        return f"ipv6 address {address(value)}"
    return f"ip address {address(value.ip)} {value.netmask}"


def destination(prefix: Prefix) -> str:
    """A prefix as a route has it: with a mask (IPv4) or a length (IPv6)."""
    if isinstance(prefix, IPv4Network):
        return f"{address(prefix.network_address)} {prefix.netmask}"
    return address(prefix)


def matched(prefix: Prefix | None) -> str:
    """A prefix as an access list has it: any, a host, a wildcard mask (IPv4) or a length (IPv6)."""
    if prefix is None or prefix.prefixlen == 0:
        return "any"
    if prefix.prefixlen == prefix.max_prefixlen:
        return f"host {address(prefix.network_address)}"
    if isinstance(prefix, IPv4Network):
        return f"{address(prefix.network_address)} {prefix.hostmask}"
    return address(prefix)


def ip(family: Family) -> str:
    """The word that commands of a family begin with."""
    return "ip" if family == 4 else "ipv6"


def indented(lines: Iterable[str]) -> Iterable[str]:
    """The lines, each within the mode that the line before them has opened."""
    return (f" {line}" for line in lines)
