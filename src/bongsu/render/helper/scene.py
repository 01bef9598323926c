"""One connection as a page sees it: its site's plan, its tunnels, and the values that texts name."""

from collections.abc import Iterable
from dataclasses import dataclass

from bongsu.model.network import Network
from bongsu.model.node import NodeInterface, Platform
from bongsu.model.proposal import Suite, suite
from bongsu.model.vpn import IpsecDaemon, Vpn
from bongsu.plan.cloud import PROFILES, CloudProfile
from bongsu.plan.cloud.console import CONSOLES, Console
from bongsu.plan.connect import cloud_asn, site_networks, uplink_of
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan

DEVICES = {Platform.IOS: "Cisco", Platform.VYOS: "Other"}
DPD_LEAST_S = 30
"""The shortest time-out that a cloud's form takes (AWS)."""


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

    def hosts(self) -> tuple[str, str] | None:
        """A host of the site and one of the cloud that the file's lab names; None without both."""
        if self.network.lab is None:
            return None
        hosts = self.network.lab.hosts.values()
        ours = [h.address for h in hosts if h.node == self.vpn.site]
        theirs = [h.address for h in hosts if h.cloud == self.vpn.cloud]
        return (str(ours[0]), str(theirs[0])) if ours and theirs else None

    def values(self) -> dict[str, str]:
        """What texts about the connection may name (bongsu.plan.cloud.console.shape)."""
        first = self.tunnels[0]
        cloud = self.network.clouds[self.vpn.cloud]
        asn = cloud_asn(cloud)
        device = DEVICES.get(self.plan.platform)
        if device is None:
            swan = self.plan.ipsec is IpsecDaemon.LIBRESWAN
            device = "Libreswan" if swan else "strongSwan"
        return {
            "vpn": self.name,
            "site": self.vpn.site,
            "cloud": self.vpn.cloud,
            "public": str(first.public),
            "asn": str(self.plan.asn),
            "cloud_asn": "its own" if asn is None else str(asn),
            "site_networks": _joined(site_networks(self.network, self.vpn)),
            "cloud_networks": _joined(cloud.networks),
            "ike": str(first.ike_version),
            "local_id": first.local_id,
            "device": device,
        }

    def tunnel_values(self, tunnel: VpnTunnelPlan) -> dict[str, str]:
        """The same for a step that is done for each tunnel."""
        ike = [suite(text) for text in tunnel.ike_proposals]
        esp = [suite(text) for text in tunnel.esp_proposals]
        inside = tunnel.inside
        length = "" if inside is None else f"/{inside.network.prefixlen}"
        peer = "" if tunnel.peer_inside is None else str(tunnel.peer_inside)
        timeout = DPD_LEAST_S if tunnel.dpd is None else max(DPD_LEAST_S, tunnel.dpd.timeout_s)
        word = self.console.word
        return self.values() | {
            "number": str(1 + [t.name for t in self.tunnels].index(tunnel.name)),
            "tunnel": tunnel.name,
            "headend": str(tunnel.remote),
            "local_id": tunnel.local_id,
            "peer_id": tunnel.remote_id,
            "inside": "" if inside is None else str(inside),
            "inside_ip": "" if inside is None else str(inside.ip),
            "inside_network": "" if inside is None else str(inside.network),
            "peer_inside": peer + length,
            "peer_inside_ip": peer,
            "psk": tunnel.psk or "(none: a certificate is used)",
            "ike_encryption": _joined(word(item.encryption) for item in ike),
            "ike_hash": _joined(word(item.hash) for item in ike),
            "ike_group": _joined(word(item.group) for item in ike),
            "ike_lifetime": str(tunnel.ike_lifetime_s),
            "esp_encryption": _joined(word(item.encryption, esp=True) for item in esp),
            "esp_hash": _joined(_esp_hash(self.console, item) for item in esp),
            "esp_group": _joined(word(item.group, esp=True) for item in esp),
            "esp_lifetime": str(tunnel.esp_lifetime_s),
            "dpd_timeout": str(timeout),
        }


def _esp_hash(console: Console, chosen: Suite) -> str:
    return console.word(chosen.integrity, esp=True)


def _joined(items: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(item) for item in items))
