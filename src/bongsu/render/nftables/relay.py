"""Who may send relayed packets, probes of paths and repaired packets to a PoP: the other PoPs alone."""

from bongsu.plan.node import NodePlan
from bongsu.render.nftables.words import NamedSet, type_of, unique
from bongsu.render.template import Admitted
from bongsu.render.text import address, number


def relay_ports(plan: NodePlan) -> Admitted | None:
    """First and last UDP port of the relay, as nftables has a range; None without one."""
    if plan.relay is None:
        return None
    return Admitted(f"{number(plan.relay.port)}-{number(plan.relay.repair_port)}")


def relay_sets(plan: NodePlan, family: int) -> list[NamedSet]:
    """(other PoP, us)."""
    kind = type_of(family)
    peers = plan.relay.peers if plan.relay is not None else []
    pairs = unique(
        f"{address(peer.remote)} . {address(peer.local)}"
        for peer in peers
        if peer.local.version == family
    )
    return [NamedSet(f"relays{family}", f"type {kind} . {kind}", pairs)]
