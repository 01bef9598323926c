"""Where the monitor's programs sit: tc ingress and egress, before whatever else of ours is there.

What GRE's and the relay's programs redirect is taken out of the path at their place, so the monitor
stands before them. Other people's filters at a lower number may still end a packet's way earlier.
XDP comes before any tc filter: what it redirects is seen where it goes to, not where it came from.
"""

from typing import Final

from bongsu.system.bpf import attach
from bongsu.system.bpf.objects import Program
from bongsu.system.flow.choice import FlowError
from bongsu.system.gre import links
from bongsu.system.gre.links import Link
from bongsu.system.rtnl import Rtnl

PRIORITY: Final = 2780
"""Of our tc filters: before GRE's (2784) and the relay's (2785)."""

SIDES: Final[dict[attach.Side, str]] = {"ingress": "flow_ingress", "egress": "flow_egress"}

_ETHER = 14
LINK_HEADERS: Final = {
    1: _ETHER,
    772: _ETHER,  # loopback
    65534: 0,  # TUN
    768: 0,  # IPIP
    769: 0,  # IP6TNL
    776: 0,  # SIT
    778: 0,  # GRE
    823: 0,  # GRE over IPv6
    519: 0,  # raw IP
}
"""Bytes before the IP header by the interface's type (ARPHRD_*, linux/if_arp.h)."""


def link_header(link: Link) -> int:
    """Bytes of link header. Errors: FlowError for types that are not known."""
    if link.type not in LINK_HEADERS:
        known = "Ethernet, loopback, TUN and IP tunnels"
        raise FlowError(f"{link.name}: an interface of type {link.type}; known are {known}")
    return LINK_HEADERS[link.type]


def take(link: Link, programs: dict[str, Program]) -> None:
    """Both programs on the interface, in place of a former agent's. Errors: BpfError."""
    for side, name in SIDES.items():
        attach.tc_attach(link.index, side, programs[name], PRIORITY)


def leave(kernel: Rtnl, index: int) -> None:
    """The interface as it was: no program of ours, and no clsact qdisc that nobody uses."""
    for side in SIDES:
        attach.tc_detach(index, side, PRIORITY)
    if not links.filters(kernel, index):
        attach.clsact_remove(index)


def taken(kernel: Rtnl) -> list[int]:
    """Numbers of the interfaces of this namespace that have a monitor's program, any monitor's."""
    return [link.index for link in links.every(kernel) if any(_ours(link, side) for side in SIDES)]


def _ours(link: Link, side: attach.Side) -> bool:
    there = attach.tc_find(link.index, side, PRIORITY)
    if there is None:
        return False
    there.close()
    return there.name == SIDES[side]
