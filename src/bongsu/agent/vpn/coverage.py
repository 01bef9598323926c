"""Which pairs of traffic selectors of a tunnel no association carries. Pure.

A tunnel may have several pairs, each a negotiation of its own or all in one list (bongsu.plan.selectors).
One that fails takes nothing from the others, and its packets are lost without a word. So are those of
what a far end left out of a list: it may narrow what it is asked for (RFC 7296 section 2.9).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from bongsu.model.base import Prefix
from bongsu.plan.selectors import Child
from bongsu.system.ipsec.state import EspSa

Range = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Gap:
    """A pair that nothing carries."""

    child: str
    """The negotiation that should have brought it."""
    local: Prefix
    remote: Prefix
    narrowed: bool
    """Its negotiation stands, for less: to ask again would bring the same once more."""

    def __str__(self) -> str:
        return f"{self.local} - {self.remote}"


def gaps(children: Iterable[Child], esp: Iterable[EspSa]) -> tuple[Gap, ...]:
    """The pairs of these children that no association covers.

    One whose selectors are not known, or no whole networks, is taken at its child's word.
    """
    associations = list(esp)
    ranges = [(_ranges(sa.local), _ranges(sa.remote)) for sa in associations]
    named = {sa.child for sa in associations}
    on_trust = {
        sa.child
        for sa, (local, remote) in zip(associations, ranges, strict=True)
        if not (local and remote)
    }
    return tuple(
        Gap(child.name, ours, theirs, child.name in named)
        for child in children
        if child.name not in on_trust
        for ours in child.local
        for theirs in child.remote
        if ours.version == theirs.version
        and not any(_in(ours, local) and _in(theirs, remote) for local, remote in ranges)
    )


def _ranges(selectors: tuple[str, ...]) -> list[Range] | None:
    try:
        return [ip_network(each) for each in selectors]
    except ValueError:
        return None


def _in(prefix: Prefix, ranges: list[Range] | None) -> bool:
    return any(
        each.version == prefix.version
        and int(each.network_address) <= int(prefix.network_address)
        and int(prefix.broadcast_address) <= int(each.broadcast_address)
        for each in ranges or ()
    )
