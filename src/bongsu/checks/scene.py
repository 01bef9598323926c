"""What the checks look at: the network, its plans, and the indexes that several of them need.

An index is made when first asked for, in one pass; no check may compare all pairs of anything.
"""

from collections.abc import Mapping
from functools import cached_property

from bongsu.checks.accelerator import Ear, Ride, ears, rides
from bongsu.checks.connection import Connection, Pipe, connections
from bongsu.checks.delay import Delays
from bongsu.checks.line import Line
from bongsu.checks.nesting import Graph, nesting
from bongsu.checks.table import PrefixTable
from bongsu.checks.use import UNUSED, Use, uses
from bongsu.checks.watch import Watch, watches
from bongsu.checks.ways import Ways
from bongsu.model.base import Prefix
from bongsu.model.network import Network
from bongsu.model.tunnel import Tunnel
from bongsu.plan.node import NodePlan
from bongsu.plan.underlay import (
    esp_overhead,
    outer_addresses,
    overhead,
    source_interface,
    underlays_of,
)

HUB = 3
"""Tunnels of a node from which on it is a hub: two may be a spoke's, to two hubs."""


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
    def connections(self) -> list[Connection]:
        """All VPN connections, in the file's order."""
        return list(connections(self.network, self.plans))

    @cached_property
    def connections_of(self) -> dict[str, list[Connection]]:
        """VPN connections of each site; nodes without one are left out."""
        found: dict[str, list[Connection]] = {}
        for connection in self.connections:
            found.setdefault(connection.site, []).append(connection)
        return found

    @cached_property
    def pipes(self) -> list[tuple[Connection, Pipe]]:
        """The tunnels of all VPN connections, in the file's order."""
        return [(each, pipe) for each in self.connections for pipe in each.tunnels]

    @cached_property
    def ears(self) -> list[Ear]:
        """The listeners of all accelerators, in the file's order."""
        return list(ears(self.network))

    @cached_property
    def rides(self) -> list[Ride]:
        """The IPsec tunnels that go through accelerators, in the file's order."""
        return list(rides(self.network, self.pipes))

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
        return nesting(self.lines, self.carriers, self.ways)

    @cached_property
    def ways(self) -> Ways:
        """Where the nodes' own packets can go."""
        return Ways(self.network, self.lines_of)

    @cached_property
    def watches(self) -> list[Watch]:
        """Every end that sends keepalives, and what becomes of them."""
        return list(watches(self.network, self.plans))

    @cached_property
    def delays(self) -> Delays:
        """How long packets take between nodes, at the least."""
        return Delays(self.network)

    def use(self, node: str, tunnel: str) -> Use:
        """What a node's own routes send into a tunnel."""
        return self._uses.get((node, tunnel), UNUSED)

    def is_hub(self, node: str) -> bool:
        """Whether many tunnels end at the node."""
        return len(self.lines_of[node]) >= HUB

    @cached_property
    def _uses(self) -> dict[tuple[str, str], Use]:
        return uses(self.network)

    def _line(self, name: str, tunnel: Tunnel) -> Line:
        nodes, ends = self.network.nodes, tunnel.ends
        outer = outer_addresses(self.network, tunnel)
        under = {node: underlays_of(nodes[node], end) for node, end in ends.items()}
        speaks = {
            node: source_interface(nodes[node], end) or under[node][0] for node, end in ends.items()
        }
        vrf = {
            node: end.transport_vrf or nodes[node].interfaces[under[node][0]].vrf
            for node, end in ends.items()
        }
        added = max(overhead(address, tunnel.key) for address in outer.values())
        if tunnel.ipsec is not None:
            added += max(esp_overhead(address, tunnel.ipsec) for address in outer.values())
        links = [nodes[node].interfaces[key].mtu for node, keys in under.items() for key in keys]
        room = min(links) - added
        return Line(name, tunnel, outer, speaks, vrf, added, room, tunnel.mtu or room)
