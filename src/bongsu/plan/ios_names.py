"""The names that Cisco IOS has for interfaces, from those that the network file has.

A name in the file has no slash and 15 characters at most, so ports are written with hyphens and the
type abbreviated: `gi0-0-1.100` is GigabitEthernet0/0/1.100. Tunnels are numbers on IOS.
"""

import re
from collections.abc import Iterable

TYPES = {
    "gi": "GigabitEthernet",
    "te": "TenGigabitEthernet",
    "twe": "TwentyFiveGigE",
    "fo": "FortyGigabitEthernet",
    "hu": "HundredGigE",
    "fa": "FastEthernet",
    "eth": "Ethernet",
    "po": "Port-channel",
    "vlan": "Vlan",
    "se": "Serial",
    "lo": "Loopback",
    "loopback": "Loopback",
}
TRUNKS = frozenset({"gi", "te", "twe", "fo", "hu", "fa", "eth", "po"})
"""Types whose subinterfaces are VLANs."""

_NAME = re.compile(rf"({'|'.join(TYPES)})(\d{{1,4}}(?:-\d{{1,3}}){{0,3}})(?:\.(\d{{1,4}}))?", re.I)
_LAST_NUMBER = re.compile(r"\d+$")
TUNNEL_LIMIT = 2**31 - 1
"""The highest number of a tunnel interface."""
VLAN_LIMIT = 4094


def interface_name(name: str) -> str | None:
    """`gi0-0.10` -> `GigabitEthernet0/0.10`; None if IOS has no such interface."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind, port, sub = found[1].lower(), found[2], found[3]
    if TYPES[kind] in ("Loopback", "Vlan", "Port-channel") and "-" in port:
        return None
    if sub is None:
        return TYPES[kind] + port.replace("-", "/")
    if kind not in TRUNKS or not 1 <= int(sub) <= VLAN_LIMIT:
        return None
    return f"{TYPES[kind]}{port.replace('-', '/')}.{int(sub)}"


def vlan(name: str) -> int | None:
    """The VLAN of a subinterface: by custom, its number."""
    found = _NAME.fullmatch(name)
    return int(found[3]) if found is not None and found[3] else None


def is_loopback(name: str) -> bool:
    """Whether IOS would make a loopback of it."""
    return (interface_name(name) or "").startswith("Loopback")


def tunnel_numbers(names: Iterable[str]) -> dict[str, int]:
    """Numbers of the tunnels of one node, in the file's order.

    The number a name ends in is the tunnel's (`tunnel0`, `gre-12`), the first of several that end
    in the same. The others get the lowest that are left, so they may move when a tunnel is added
    before them: a name that ends in a number never does.
    """
    ordered = list(names)
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    for name in ordered:
        found = _LAST_NUMBER.search(name)
        if found and int(found[0]) <= TUNNEL_LIMIT and int(found[0]) not in taken:
            numbers[name] = int(found[0])
            taken.add(numbers[name])
    free = 0
    for name in ordered:
        if name not in numbers:
            while free in taken:
                free += 1
            numbers[name] = free
            taken.add(free)
    return {name: numbers[name] for name in ordered}
