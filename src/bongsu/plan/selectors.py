"""Traffic selectors of a tunnel as its daemon has to negotiate them: one pair, or one list, a child.

IKEv2 narrows lists (RFC 7296 section 2.9), IKEv1 has one pair for each quick mode (RFC 2409 section
5.5). Agent, renderers and views use the names made here.
"""

from dataclasses import dataclass

from bongsu.model.base import Prefix
from bongsu.plan.vpn import VpnTunnelPlan


@dataclass(frozen=True, slots=True)
class Child:
    """One negotiation of phase 2."""

    name: str
    """The tunnel's own for the first, `NAME_2` and so on for the others; no tunnel has a `_`."""
    local: tuple[Prefix, ...]
    remote: tuple[Prefix, ...]


def children(tunnel: VpnTunnelPlan, *, pairs: bool | None = None) -> list[Child]:
    """The children of a tunnel, at least one unless no family has selectors on both sides.

    `pairs` forces one child for each pair (Libreswan has no lists); without it IKEv1 does.
    """
    local, remote = tunnel.local_selectors, tunnel.remote_selectors
    if not (tunnel.ike_version == 1 if pairs is None else pairs):
        return [Child(tunnel.name, tuple(local), tuple(remote))] if local and remote else []
    found = [(a, b) for a in local for b in remote if a.version == b.version]
    return [
        Child(tunnel.name if number == 1 else f"{tunnel.name}_{number}", (ours,), (theirs,))
        for number, (ours, theirs) in enumerate(found, 1)
    ]
