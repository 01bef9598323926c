"""What the texts of a page may name, from the plan of the site alone (bongsu.plan.cloud.console.shape)."""

from collections.abc import Iterable, Sequence

from bongsu.model.base import Prefix
from bongsu.model.node import Platform
from bongsu.model.proposal import suite
from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.cloud import PROFILES
from bongsu.plan.cloud.console import Console
from bongsu.plan.cloud.console.shape import When
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan

DEVICES = {Platform.IOS: "Cisco", Platform.VYOS: "Other", Platform.ALIBABA: "Other"}
DPD_LEAST_S = 30
"""The shortest time-out that a cloud's form takes (AWS)."""
TCP_IP_HEADER = {4: 40, 6: 60}
"""Bytes of an IP and a TCP header without options: the MTU less these is the MSS."""
UNASKED_ASN = 65000
"""A private AS number, which AWS's form has in the field by itself."""

Values = dict[str, str]
Tunnels = Sequence[VpnTunnelPlan]


def facts(tunnels: Tunnels, *, dynamic: bool) -> frozenset[When]:
    """What holds of a connection as a whole."""
    found: list[When] = ["always", "bgp" if dynamic else "static"]
    everything = all(p.prefixlen == 0 for t in tunnels for p in t.local_selectors)
    found.append("any" if everything else "networks")
    found += ["several"] if len({t.customer for t in tunnels}) > 1 else []
    found += ["single"] if len(tunnels) == 1 else []
    found += ["public"] if _public_networks(tunnels) else []
    return frozenset(found)


def tunnel_facts(tunnel: VpnTunnelPlan) -> frozenset[When]:
    """What holds of one tunnel."""
    found: list[When] = ["direct" if tunnel.accelerated is None else "accelerated"]
    found += ["inside"] if tunnel.inside is not None else []
    return frozenset(found)


def connection_values(plan: NodePlan, tunnels: Tunnels, peers: Sequence[CloudPeer]) -> Values:
    """What holds for the whole connection; `tunnels` are its own, at least one."""
    first = tunnels[0]
    asn = next((peer.asn for peer in peers), PROFILES[first.profile].asn)
    device = DEVICES.get(plan.platform)
    if device is None:
        device = "Libreswan" if plan.ipsec is IpsecDaemon.LIBRESWAN else "strongSwan"
    return {
        "vpn": first.vpn,
        "site": plan.node,
        "cloud": first.cloud,
        "own": str(first.public),
        # Without a session nobody asks for it, but some form does; the cloud's own would be no answer.
        "asn": str(plan.asn if peers or plan.asn != asn else UNASKED_ASN),
        "cloud_asn": "its own" if asn is None else str(asn),
        "site_networks": joined(first.local_networks),
        "cloud_networks": joined(first.remote_networks),
        "ike": str(first.ike_version),
        "device": device,
        "public_networks": joined(_public_networks(tunnels)),
        "mss": str(min(t.mtu - TCP_IP_HEADER[4] for t in tunnels)),
    }


def customer_values(values: Values, tunnels: Tunnels, tunnel: VpnTunnelPlan) -> Values:
    """What holds for the tunnels of one customer gateway, of which `tunnel` is one."""
    several = len({t.customer for t in tunnels}) > 1
    between = tunnel.accelerated
    suffix = f"-{between.name}" if several and between is not None else ""
    others = len({t.remote for t in tunnels}) > 1
    return values | {
        "customer": values["site"] + suffix,
        "connection": values["vpn"] + suffix,
        "public": str(tunnel.customer),
        "local_id": tunnel.local_id,
        "peer_id": tunnel.remote_id,
        "far": f"{values['cloud']}-{tunnel.name}" if others else values["cloud"],
        "remote": str(tunnel.remote),
        "accelerator": "" if between is None else between.name,
        "region": "" if between is None else between.region,
    }


def tunnel_values(
    values: Values, tunnels: Tunnels, tunnel: VpnTunnelPlan, console: Console, number: int
) -> Values:
    """What holds for one tunnel, which the console calls by that number."""
    ike = [suite(text) for text in tunnel.ike_proposals]
    esp = [suite(text) for text in tunnel.esp_proposals]
    inside = tunnel.inside
    length = "" if inside is None else f"/{inside.network.prefixlen}"
    peer = "" if tunnel.peer_inside is None else str(tunnel.peer_inside)
    timeout = DPD_LEAST_S if tunnel.dpd is None else max(DPD_LEAST_S, tunnel.dpd.timeout_s)
    word = console.word
    return customer_values(values, tunnels, tunnel) | {
        "number": str(number),
        "tunnel": tunnel.name,
        "headend": str(tunnel.headend),
        "inside": "" if inside is None else str(inside),
        "inside_ip": "" if inside is None else str(inside.ip),
        "inside_network": "" if inside is None else str(inside.network),
        "peer_inside": peer + length,
        "peer_inside_ip": peer,
        "psk": tunnel.psk or "(none: a certificate is used)",
        "ike_encryption": joined(word(item.encryption) for item in ike),
        "ike_hash": joined(word(item.hash) for item in ike),
        "ike_group": joined(word(item.group) for item in ike),
        "ike_lifetime": str(tunnel.ike_lifetime_s),
        "esp_encryption": joined(word(item.encryption, esp=True) for item in esp),
        "esp_hash": joined(word(item.integrity, esp=True) for item in esp),
        "esp_group": joined(word(item.group, esp=True) for item in esp),
        "esp_lifetime": str(tunnel.esp_lifetime_s),
        "dpd_timeout": str(timeout),
    }


def _public_networks(tunnels: Tunnels) -> list[Prefix]:
    """Networks of either side that are public address space, whoever owns it."""
    both = [p for t in tunnels for p in (*t.local_networks, *t.remote_networks)]
    return [prefix for prefix in dict.fromkeys(both) if prefix.prefixlen and prefix.is_global]


def joined(items: Iterable[object]) -> str:
    """Each once, with commas."""
    return ", ".join(dict.fromkeys(str(item) for item in items))
