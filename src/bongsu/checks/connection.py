"""One IPsec tunnel of a VPN connection, as written and as compiled, with all that judges it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bongsu.checks.finding import Path
from bongsu.model.base import Prefix
from bongsu.model.network import Network
from bongsu.model.node import Node
from bongsu.model.vpn import Binding, Cloud, Vpn, VpnTunnel
from bongsu.plan.cloud import PROFILES, CloudProfile
from bongsu.plan.connect import site_networks
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan


@dataclass(frozen=True, slots=True)
class Connection:
    """A VPN connection: its site, its cloud and its tunnels."""

    name: str
    vpn: Vpn
    node: Node
    cloud: Cloud
    profile: CloudProfile
    networks: list[Prefix]
    """Of the site."""
    tunnels: list["Pipe"]

    @property
    def at(self) -> Path:
        """The connection's place in the file."""
        return "vpns", self.name

    @property
    def site(self) -> str:
        return self.vpn.site

    @property
    def routed(self) -> bool:
        """Whether routes decide what is encrypted, and not policies."""
        return self.vpn.binding is not Binding.POLICY


@dataclass(frozen=True, slots=True)
class Pipe:
    """One tunnel of a connection."""

    name: str
    vpn: str
    """The connection's name."""
    tunnel: VpnTunnel
    plan: VpnTunnelPlan
    peer: CloudPeer | None
    """The BGP session inside it."""

    @property
    def at(self) -> Path:
        """The tunnel's place in the file."""
        return "vpns", self.vpn, "tunnels", self.name


def connections(network: Network, plans: Mapping[str, NodePlan]) -> Iterator[Connection]:
    """All of them, in the file's order."""
    of_site = {vpn.site for vpn in network.vpns.values()}
    built = {(site, item.name): item for site in of_site for item in plans[site].vpns}
    peers = {(site, item.tunnel): item for site in of_site for item in plans[site].cloud_peers}
    for name, vpn in network.vpns.items():
        cloud = network.clouds[vpn.cloud]
        yield Connection(
            name,
            vpn,
            network.nodes[vpn.site],
            cloud,
            PROFILES[cloud.profile],
            site_networks(network, vpn),
            [
                Pipe(key, name, item, built[vpn.site, key], peers.get((vpn.site, key)))
                for key, item in vpn.tunnels.items()
            ],
        )
