"""NodePlan -> the sessions inside IPsec tunnels, as bird.conf.j2 iterates over them.

What FRR does with route maps, BIRD does with filters; both announce and accept the same.
"""

from dataclasses import dataclass

from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan
from bongsu.plan.slots import slots
from bongsu.plan.vpn import CloudPeer, shares
from bongsu.render.text import symbol


@dataclass(frozen=True)
class CloudView:
    """The sessions of one family."""

    peers: tuple[CloudPeer, ...] = ()
    own: tuple[Prefix, ...] = ()
    """What is announced, each once: it needs a route here, or there is nothing to announce."""
    taking_over: tuple[tuple[str, tuple[Prefix, ...]], ...] = ()
    """By connection, the more-specifics announced while one of its tunnels is down."""
    shares: int = 1
    """How many sessions of one connection share the traffic."""
    interfaces: tuple[str, ...] = ()
    """Through which next hops are found."""

    numbered: tuple[tuple[int, CloudPeer], ...] = ()
    """The sessions, each with a number of its own, which stays whatever becomes of the others: it stands in
    the session's filters, and a neighbor that sends nothing twice is reset for another filter."""

    @property
    def steered(self) -> tuple[tuple[int, CloudPeer], ...]:
        """Those that count less while their tunnels are degraded."""
        return tuple(each for each in self.numbered if each[1].weak is not None)


def cloud_view(plan: NodePlan, family: int) -> CloudView:
    """The view of a family; without sessions it is empty."""
    peers = tuple(peer for peer in plan.cloud_peers if peer.address.version == family)
    if not peers:
        return CloudView()
    number = slots(plan.vpns)
    return CloudView(
        peers,
        numbered=tuple((number[peer.tunnel] + 1, peer) for peer in peers),
        own=tuple(dict.fromkeys(prefix for peer in peers for prefix in peer.announced())),
        taking_over=tuple(_taking_over(peers).items()),
        shares=shares(peers),
        interfaces=tuple(dict.fromkeys(peer.tunnel for peer in peers)),
    )


def takeover_protocol(family: int, vpn: str) -> str:
    """Name of the protocol that originates a connection's more-specifics; the agent enables it."""
    return f"takeover{family}_{symbol(vpn)}"


def cloud_protocol(peer: CloudPeer) -> str:
    """Name of the protocol that is a session with a cloud."""
    return f"cloud{peer.address.version}_{symbol(peer.tunnel)}"


def weak_protocol(peer: CloudPeer) -> str:
    """Name of the protocol by which a session counts less; the agent enables it."""
    return f"weak{peer.address.version}_{symbol(peer.tunnel)}"


def _taking_over(peers: tuple[CloudPeer, ...]) -> dict[str, tuple[Prefix, ...]]:
    found: dict[str, dict[Prefix, None]] = {}
    for peer in peers:
        for prefix in peer.taking_over():
            found.setdefault(peer.vpn, {})[prefix] = None
    return {vpn: tuple(prefixes) for vpn, prefixes in found.items()}
