"""What a GRE tunnel runs over: its interfaces, its outer addresses, and the room that is left inside."""

from bongsu.model.base import Address
from bongsu.model.ipsec import Ipsec
from bongsu.model.network import Network
from bongsu.model.node import Node
from bongsu.model.tunnel import Tunnel, TunnelEnd

OUTWARD = ("uplink", "link")
"""Roles of interfaces that lead away from the node, the ones to the Internet first."""


def underlay_of(node: Node, end: TunnelEnd) -> str:
    """Name of the interface that a tunnel's outer packets use, of several the first."""
    return underlays_of(node, end)[0]


def underlays_of(node: Node, end: TunnelEnd) -> list[str]:
    """The interfaces that a tunnel's outer packets may use, at least one.

    The one that is named, or the first uplink or link; for a loopback's address all of them, for
    then it is routing that chooses.
    """
    outward = [
        name for role in OUTWARD for name, item in node.interfaces.items() if item.role == role
    ]
    if source_interface(node, end) is not None:
        return outward
    return [end.interface] if end.interface is not None else outward[:1]


def source_interface(node: Node, end: TunnelEnd) -> str | None:
    """The loopback that an end speaks from, by its name or by its address; None without one."""
    for name, interface in node.interfaces.items():
        if interface.role == "loopback" and (
            name == end.interface or end.source in [address.ip for address in interface.addresses]
        ):
            return name
    return None


def outer_addresses(network: Network, tunnel: Tunnel) -> dict[str, Address]:
    """Outer address of each end: `source` where given, else by the family that both ends have."""
    candidates: dict[str, list[Address]] = {}
    for name, end in tunnel.ends.items():
        if end.source is not None:
            candidates[name] = [end.source]
        else:
            node = network.nodes[name]
            speaks = source_interface(node, end) or underlay_of(node, end)
            interface = node.interfaces[speaks]
            candidates[name] = [address.ip for address in interface.addresses]
    common = set.intersection(*({ip.version for ip in ips} for ips in candidates.values()))
    family = min(common) if common else 0
    return {
        name: next((ip for ip in ips if ip.version == family), ips[0])
        for name, ips in candidates.items()
    }


def overhead(outer: Address, key: int | None) -> int:
    """Bytes that GRE adds in front of the inner packet (RFC 2784 section 2, RFC 2890)."""
    return (20 if outer.version == 4 else 40) + 4 + (4 if key is not None else 0)


def esp_overhead(outer: Address, ipsec: Ipsec) -> int:
    """Bytes that ESP adds at most (RFC 4303): header, IV, padding to a cipher block with its two
    bytes, check value, and in tunnel mode one more IP header."""
    integrity = {"sha256": 16, "sha384": 24}[ipsec.integrity]
    another = (20 if outer.version == 4 else 40) if ipsec.mode == "tunnel" else 0
    return another + 8 + 16 + (2 + 15) + integrity


def tunnel_mtu(network: Network, tunnel: Tunnel, outer: Address) -> int:
    """As stated; else the narrowest underlay of both ends, less what is added between them."""
    if tunnel.mtu is not None:
        return tunnel.mtu
    underlays = [
        network.nodes[name].interfaces[key]
        for name in tunnel.ends
        for key in underlays_of(network.nodes[name], tunnel.ends[name])
    ]
    room = min(interface.mtu for interface in underlays) - overhead(outer, tunnel.key)
    return room if tunnel.ipsec is None else room - esp_overhead(outer, tunnel.ipsec)
