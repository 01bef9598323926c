"""What the checks look at: the network, its plans, and the indexes that several of them need.

An index is made when first asked for, in one pass; no check may compare all pairs of anything.
"""

from collections.abc import Mapping
from functools import cached_property

from bongsu.checks.line import Line
from bongsu.checks.nesting import Graph, nesting
from bongsu.checks.table import PrefixTable
from bongsu.model.base import Prefix
from bongsu.model.network import Network
from bongsu.model.tunnel import Tunnel
from bongsu.plan.compile import outer_addresses, overhead, underlay_of
from bongsu.plan.node import NodePlan


class Scene:
    """The network as written and as compiled."""

    def __init__(self, network: Network, plans: Mapping[str, NodePlan]) -> None:
        self.network = network
        self.plans = plans

    @cached_property
    def lines(self) -> dict[str, Line]:
        """All tunnels, in the file's order."""
        return {name: self._line(name, item) for name, item in self.network.tunnels.items()}

    @cached_property
    def lines_of(self) -> dict[str, list[Line]]:
        """Tunnels of each node."""
        found: dict[str, list[Line]] = {name: [] for name in self.network.nodes}
        for line in self.lines.values():
            for node in line.tunnel.ends:
                found[node].append(line)
        return found

    @cached_property
    def owned(self) -> PrefixTable[Prefix]:
        """The owner's prefixes."""
        table: PrefixTable[Prefix] = PrefixTable()
        for prefix in self.network.owner.prefixes:
            table.add(prefix, prefix)
        return table

    @cached_property
    def announcers(self) -> dict[Prefix, list[str]]:
        """Nodes that announce each prefix."""
        found: dict[Prefix, list[str]] = {}
        for name, node in self.network.nodes.items():
            for item in node.announce:
                found.setdefault(item.prefix, []).append(name)
        return found

    @cached_property
    def carriers(self) -> PrefixTable[frozenset[str]]:
        """Announced prefixes, each with the tunnels that its packets go into."""
        tunnels: dict[Prefix, set[str]] = {}
        for plan in self.plans.values():
            for item in plan.announcements:
                tunnels.setdefault(item.prefix, set()).update(item.tunnels)
        table: PrefixTable[frozenset[str]] = PrefixTable()
        for prefix, names in tunnels.items():
            table.add(prefix, frozenset(names))
        return table

    @cached_property
    def graph(self) -> Graph:
        """Which tunnels go through which."""
        return nesting(self.network, self.lines, self.carriers)

    def _line(self, name: str, tunnel: Tunnel) -> Line:
        nodes = self.network.nodes
        outer = outer_addresses(self.network, tunnel)
        underlay = {node: underlay_of(nodes[node], end) for node, end in tunnel.ends.items()}
        added = max(overhead(address, tunnel.key) for address in outer.values())
        room = min(nodes[node].interfaces[key].mtu for node, key in underlay.items()) - added
        return Line(name, tunnel, outer, underlay, added, room, tunnel.mtu or room)
