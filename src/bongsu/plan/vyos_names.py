"""The names that VyOS has for interfaces, from those that the network file has.

They are the kernel's own, each under the word for its kind: `eth0.100` is `ethernet eth0 vif 100`. Of a
VPN, tunnel interfaces are `vti0`, `vti1`, ...
"""

import re
from collections.abc import Iterable

from bongsu.plan.ios_names import tunnel_numbers

KINDS = {"eth": "ethernet", "bond": "bonding", "br": "bridge", "dum": "dummy"}
_NAME = re.compile(r"(eth|bond|br|dum)(\d{1,4})(?:\.(\d{1,4}))?")
VLAN_LIMIT = 4094


def interface_path(name: str) -> tuple[str, ...] | None:
    """`eth0.10` -> `("ethernet", "eth0", "vif", "10")`; None if VyOS has no such interface."""
    if name == "lo":
        return ("loopback", "lo")
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind, number, tag = found.groups()
    path = (KINDS[kind], f"{kind}{number}")
    if tag is None:
        return path
    if kind == "dum" or not 1 <= int(tag) <= VLAN_LIMIT:
        return None
    return (*path, "vif", tag)


def is_loopback(name: str) -> bool:
    """Whether the address on it depends on no link."""
    return name == "lo" or name.startswith("dum")


def vti_names(names: Iterable[str]) -> dict[str, str]:
    """VTIs of a node's tunnels: the number that a name ends in, else the lowest that is left."""
    return {name: f"vti{number}" for name, number in tunnel_numbers(names).items()}
