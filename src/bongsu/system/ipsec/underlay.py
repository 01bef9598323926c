"""Whether a packet could leave for a far end at this moment, and if not, why."""

import socket
from collections.abc import Iterable
from pathlib import Path

from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.gre.way import ways
from bongsu.system.ipsec import interfaces
from bongsu.system.rtnl import Rtnl

CLASS = Path("/sys/class/net")
_DOWN = ("down", "lowerlayerdown", "notpresent")


def refusals(tunnels: Iterable[VpnTunnelPlan]) -> dict[str, str]:
    """By tunnel, why nothing can leave; empty where it can. Raises OSError."""
    wanted = list(tunnels)
    with Rtnl() as kernel:
        found = ways(kernel, [(tunnel.local, tunnel.remote) for tunnel in wanted])
    own = set(interfaces.names())
    said = {}
    for tunnel, way in zip(wanted, found, strict=True):
        link = _state(tunnel.underlay)
        if link:
            said[tunnel.name] = link
        elif way is None:
            said[tunnel.name] = f"there is no route to {tunnel.remote}"
        elif (leads := _name(way.index)) in own:
            # Encrypted packets into a tunnel, be it their own: round in a circle.
            said[tunnel.name] = f"the way to {tunnel.remote} leads into tunnel {leads}"
        else:
            said[tunnel.name] = ""
    return said


def _state(name: str) -> str:
    try:
        state = (CLASS / name / "operstate").read_text().strip()
    except OSError:
        return f"there is no interface {name}"
    return f"{name} has no carrier" if state in _DOWN else ""


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""
