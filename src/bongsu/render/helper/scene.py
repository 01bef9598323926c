"""One connection as a page sees it: its site's plan, its tunnels, and the values that texts name."""

from dataclasses import dataclass

from bongsu.model.base import Address, Prefix
from bongsu.model.network import Network
from bongsu.model.node import NodeInterface
from bongsu.model.vpn import Vpn
from bongsu.plan.cloud import PROFILES, CloudProfile
from bongsu.plan.cloud.console import CONSOLES, Console
from bongsu.plan.connect import cloud_asn, site_networks, uplink_of
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan
from bongsu.render.helper.values import Values, connection_values, joined


@dataclass(frozen=True)
class Scene:
    """A VPN connection, and everything a page says of it."""

    network: Network
    name: str
    vpn: Vpn
    plan: NodePlan

    @property
    def tunnels(self) -> list[VpnTunnelPlan]:
        return [tunnel for tunnel in self.plan.vpns if tunnel.vpn == self.name]

    @property
    def peers(self) -> list[CloudPeer]:
        return [peer for peer in self.plan.cloud_peers if peer.vpn == self.name]

    @property
    def profile(self) -> CloudProfile:
        return PROFILES[self.network.clouds[self.vpn.cloud].profile]

    @property
    def console(self) -> Console:
        return CONSOLES[self.network.clouds[self.vpn.cloud].profile]

    @property
    def uplink(self) -> NodeInterface:
        node = self.network.nodes[self.vpn.site]
        return node.interfaces[uplink_of(node, self.vpn)]

    @property
    def dynamic(self) -> bool:
        return self.vpn.bgp is not None

    def lans(self) -> dict[str, tuple[Address, list[Prefix]]]:
        """Networks of the site that are behind another interface than the uplink, by its name.

        With our own address there: packets of the gateway itself that come from it are the site's,
        and neighbours send theirs to it.
        """
        found: dict[str, tuple[Address, list[Prefix]]] = {}
        for network in site_networks(self.network, self.vpn):
            if (seat := self._seat(network)) is not None:
                name, own = seat
                found.setdefault(name, (own, []))[1].append(network)
        return found

    def _seat(self, network: Prefix) -> tuple[str, Address] | None:
        """The interface that leads to one of them, and our address on it; None if it is the uplink."""
        node = self.network.nodes[self.vpn.site]
        ways = [route.via for route in node.routes if _overlap(route.to, network)]
        for name, item in node.interfaces.items():
            if item.role == "loopback" or name == uplink_of(node, self.vpn):
                continue
            for address in item.addresses:
                led = any(not isinstance(via, str) and via in address.network for via in ways)
                if address.version == network.version and (
                    led or _overlap(address.network, network)
                ):
                    return name, address.ip
        return None

    def hosts(self) -> tuple[str, str] | None:
        """A host of the site and one of the cloud that the file's lab names; None without both."""
        if self.network.lab is None:
            return None
        hosts = self.network.lab.hosts.values()
        ours = [h.address for h in hosts if h.node == self.vpn.site]
        theirs = [h.address for h in hosts if h.cloud == self.vpn.cloud]
        return (str(ours[0]), str(theirs[0])) if ours and theirs else None

    def values(self) -> Values:
        """What texts about the connection may name."""
        asn = cloud_asn(self.network.clouds[self.vpn.cloud])
        tunnels = self.tunnels
        return connection_values(self.plan, tunnels, self.peers) | {
            "cloud_asn": "its own" if asn is None else str(asn),
            "public": joined(tunnel.customer for tunnel in tunnels),
            "local_id": joined(tunnel.local_id for tunnel in tunnels),
        }


def _overlap(one: Prefix, other: Prefix) -> bool:
    # Of one family: prefixes of two do not compare.
    return one.version == other.version and (
        one.network_address in other or other.network_address in one
    )
