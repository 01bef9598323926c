"""What becomes of a node's interfaces, tunnels and sessions when its new plan is applied.

The tables name the fields that a session outlives. A field that is in none of them ends it: one that
a plan gets later is told of, and not passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bongsu.model.base import Model
from bongsu.model.vpn import Binding
from bongsu.plan.change.fate import SESSIONS, Fate, Kind, What, differing
from bongsu.plan.change.relay import relay_fates
from bongsu.plan.node import NodePlan

IN_PLACE: dict[Kind, frozenset[str]] = {
    # What a GRE interface takes while it is up.
    "GRE tunnel": frozenset(
        {"peer", "mtu", "overhead", "addresses", "peer_addresses", "inner_sources", "bgp", "bfd",
         "inner_destinations", "keepalive", "peer_keepalive", "egress", "preference", "insecure",
         "rpf", "inbound", "other_underlays", "peer_protection", "ttl", "tos"}
    ),
    # What is no part of the IKE daemon's connection.
    "IPsec tunnel": frozenset(
        {"cloud", "profile", "accelerated", "probe", "rpf", "peer_inside", "local_networks",
         "remote_networks", "mtu", "rank", "public"}
    ),
    # Filters and preferences: routes are looked at anew, and the session stands.
    "BGP session": frozenset(
        {"accept_default", "export_all", "preference", "announce", "more_specifics", "accept",
         "max_prefixes", "prepend", "weak", "vpn"}
    ),
}  # fmt: skip
_OF_BGP = ("asn", "router_id", "routing")
_OF_IPSEC = ("ipsec",)
_ROUTING = ("announcements", "home", "routes", "policies", "vpn_routes", "owned")
_NODE = ("role", "platform", "frr_integrated", "reply_table")


@dataclass(frozen=True)
class NodeChange:
    """What becomes of a node."""

    node: str
    what: What
    fates: list[Fate] = field(default_factory=list)

    @property
    def told(self) -> list[Fate]:
        """All but what stays as it is."""
        return [fate for fate in self.fates if fate.what != "kept"]

    @property
    def kept(self) -> list[Fate]:
        """Sessions that stay."""
        return [fate for fate in self.fates if fate.kind in SESSIONS and fate.what == "kept"]


def node_changes(old: Mapping[str, NodePlan], new: Mapping[str, NodePlan]) -> dict[str, NodeChange]:
    """By node, those of the new network first, in its order."""
    names = [*new, *(name for name in old if name not in new)]
    return {name: _node(name, old.get(name), new.get(name)) for name in names}


def _node(name: str, old: NodePlan | None, new: NodePlan | None) -> NodeChange:
    if old is not None and new is not None:
        return NodeChange(name, "kept" if old == new else "changed", list(_fates(old, new)))
    what: What = "added" if old is None else "removed"
    return NodeChange(
        name,
        what,
        [
            Fate(fate.kind, fate.name, what, what == "removed" and fate.kind in SESSIONS)
            for known in (old, new)
            if known is not None
            for fate in _fates(known, known)
        ],
    )


def _fates(old: NodePlan, new: NodePlan) -> Iterator[Fate]:
    yield from _compared("interface", old.interfaces, new.interfaces)
    yield from _compared("GRE tunnel", old.tunnels, new.tunnels)
    yield from _ipsec(old, new)
    of_bgp = differing(old, new, _OF_BGP)
    yield from _compared("BGP session", old.external, new.external, of_bgp)
    yield from _compared("BGP session", old.internal, new.internal, of_bgp, ("tunnel", "address"))
    yield from _compared("BGP session", old.cloud_peers, new.cloud_peers, of_bgp, ("tunnel",))
    yield from relay_fates(old.relay, new.relay)
    for kind, keys in (("routing", _ROUTING), ("node", (*_NODE, *_OF_BGP, *_OF_IPSEC))):
        for key in differing(old, new, keys):
            yield Fate("routing" if kind == "routing" else "node", key, "changed")


def _ipsec(old: NodePlan, new: NodePlan) -> Iterator[Fate]:
    policies = {tunnel.name for tunnel in new.vpns if tunnel.binding is Binding.POLICY}
    around = differing(old, new, _OF_IPSEC)
    for fate in _compared("IPsec tunnel", old.vpns, new.vpns, around):
        # Policies are put in order by the daemon, by their priorities.
        placed = fate.what == "changed" and fate.name in policies and "rank" in fate.why
        yield replace(fate, ends=True) if placed else fate


def _compared(
    kind: Kind,
    old: Sequence[Model],
    new: Sequence[Model],
    around: Sequence[str] = (),
    names: tuple[str, ...] = ("name",),
) -> Iterator[Fate]:
    """Things of one kind by their names. `around` is what differs in the node, and ends them all."""
    before, after = _by(old, names), _by(new, names)
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            yield Fate(kind, name, "added")
        elif name not in after:
            yield Fate(kind, name, "removed", ends=kind in SESSIONS)
        else:
            why = (*differing(before[name], after[name]), *around)
            lost = bool(around) or any(key not in IN_PLACE.get(kind, ()) for key in why)
            yield Fate(
                kind, name, "changed" if why else "kept", ends=kind in SESSIONS and lost, why=why
            )


def _by(items: Sequence[Model], names: tuple[str, ...]) -> dict[str, Model]:
    return {" ".join(str(getattr(item, key)) for key in names): item for item in items}
