"""What a lab is made of: cables between members, AS routers, LANs, NATs. Values only.

bongsu.lab.topology makes them of a network; wiring and internet carry them out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bongsu.lab.nat import Nat
from bongsu.model.base import Address, Family, Interface, Prefix
from bongsu.model.lab import Impairment
from bongsu.model.tunnel import Bfd

Relation = Literal["customer", "peer", "provider"]
"""What the other side is to us (RFC 9234 section 3)."""


@dataclass(frozen=True)
class Port:
    """One end of a cable: an interface in a member's namespace."""

    member: str
    interface: str
    addresses: tuple[Interface, ...] = ()
    peers: tuple[tuple[Address, Address], ...] = ()
    """Point-to-point addresses: this end's and the far end's."""
    routes: tuple[tuple[Prefix, Address | None], ...] = ()
    """Routes by this interface: prefix and gateway, or None for on-link."""
    proxy_arp: bool = False
    bridged: bool = False
    """A port of the bridge that the member has."""


@dataclass(frozen=True)
class Cable:
    """A point-to-point link between two members."""

    name: str
    a: Port
    b: Port
    impairment: Impairment
    mtu: int = 1500


@dataclass(frozen=True)
class Session:
    """A BGP session of a lab router."""

    name: str
    local: Address
    local_asn: int
    remote: Address
    remote_asn: int
    relation: Relation
    metric: int
    """Link delay in 10 us: the nearest of equally good exits wins, as it does by IGP cost."""
    multihop: int | None = None
    password: str | None = None
    """Reference (`env:NAME`), resolved from the lab's throw-away secrets."""
    bfd: Bfd | None = None
    allowed: tuple[Prefix, ...] | None = None
    """What a customer may announce (an IRR filter); None for sessions inside the lab's Internet."""


@dataclass
class Router:
    """A lab AS: one router with real BIRD. A vantage point is a router with nothing behind it."""

    name: str
    asn: int
    router_id: Address
    networks: list[Prefix]
    """Originated prefixes."""
    loopbacks: list[Interface]
    sessions: list[Session] = field(default_factory=list)
    on_link: list[tuple[Prefix, str]] = field(default_factory=list)
    """Customer addresses reached directly by a port: (host prefix, interface)."""


@dataclass(frozen=True)
class HostPlan:
    """A host on a LAN."""

    name: str
    address: Interface
    gateway: Address | None


@dataclass(frozen=True)
class Segment:
    """A LAN of a node: a bridge with the node's port and the hosts' ports."""

    name: str
    node: str
    interface: str
    addresses: tuple[Interface, ...]
    hosts: tuple[HostPlan, ...]


@dataclass(frozen=True)
class Topology:
    """Everything the lab builds, apart from what the agents build themselves."""

    routers: dict[str, Router]
    cables: dict[str, Cable]
    plugs: dict[tuple[str, str], str]
    """(node, interface) of uplinks and links -> cable name."""
    loopbacks: dict[str, tuple[Interface, ...]]
    """Node -> addresses that its `lo` has beside 127.0.0.1."""
    segments: list[Segment]
    nats: list[Nat]
    hosts: dict[str, Address]
    """Host name -> its address."""
    vantages: dict[str, dict[int, Address]]
    """Vantage name -> the address it probes from, by family."""
    nodes: tuple[str, ...]
    families: tuple[Family, ...]
    """Address families the lab's Internet speaks: IPv6 only where the network does."""

    def between(self, plugs: Iterable[tuple[str, str]]) -> list[Cable]:
        """The cables that these interfaces of nodes are plugged into."""
        return [self.cables[self.plugs[plug]] for plug in plugs if plug in self.plugs]

    def members(self) -> list[str]:
        """Every namespace the lab needs, by short name."""
        bridges: list[Segment | Nat] = [*self.segments, *self.nats]
        hosts = [host.name for one in bridges for host in one.hosts]
        return [*self.routers, *self.nodes, *(one.name for one in bridges), *hosts]
