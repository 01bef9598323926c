"""How VyOS writes commands. Every value passes bongsu.render.text, or the alphabet here, on its way."""

import re
from collections.abc import Iterator

from bongsu.model.base import Family
from bongsu.plan.node import NodePlan
from bongsu.plan.vyos_names import interface_path, vti_names
from bongsu.render.text import RenderError

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[ -&(-;=?-~]+")
_FREE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:@_=, /-]{0,254}")


class Names:
    """VyOS's names of one node's interfaces and of what is made for its tunnels."""

    def __init__(self, plan: NodePlan) -> None:
        self._vtis = vti_names(vpn.name for vpn in plan.vpns)

    def port(self, of: str) -> str:
        """`eth0.10` -> `interfaces ethernet eth0 vif 10`."""
        found = interface_path(of)
        if found is None:
            raise RenderError(f"{of!r} is no interface of VyOS")
        return " ".join(("interfaces", *found))

    def vti(self, of: str) -> str:
        """`vti1`."""
        return self._vtis[of]

    def label(self, of: str, what: str = "") -> str:
        """`VTI1`, `VTI1-TO-CLOUD`: what a group, a peer or a list of a tunnel is called."""
        return self._vtis[of].upper() + (f"-{what}" if what else "")


def quoted(value: str) -> str:
    """A value in quotes. What could end them is refused."""
    if not _FREE.fullmatch(value):
        raise RenderError(f"{value!r} is no value that a VyOS command can hold")
    return f"'{value}'"


def placeholder(secret: str) -> str:
    """`'<env:NAME>'`: where a person puts the secret. Nothing that could end quotes is in it."""
    if not _REFERENCE.fullmatch(secret):
        raise RenderError("a secret's reference holds characters that a command cannot")
    return f"'<{secret}>'"


def unicast(family: Family) -> str:
    """BGP's word for a family's routes."""
    return "ipv4-unicast" if family == 4 else "ipv6-unicast"


def set_all(path: str, *commands: str) -> Iterator[str]:
    """`set PATH COMMAND`, for each."""
    return (f"set {path} {command}" for command in commands)
