"""What a VPN tunnel becomes with an accelerator in its way: whom each end speaks to, and how much fits.

Names must hold (intent sees to that). Cost is linear in nodes and tunnels of the network.
"""

from collections.abc import Iterable, Iterator

from bongsu.model.accelerator import Accelerator, Listener
from bongsu.model.base import Address, Family
from bongsu.model.network import Network
from bongsu.model.node import Node, Platform
from bongsu.model.vpn import VpnTunnel
from bongsu.plan.relay import off_address
from bongsu.plan.underlay import outer_addresses, tunnel_mtu
from bongsu.plan.vpn import AcceleratedPlan

INTERNET_MTU = 1500
"""What the way between two sites carries, whatever the machine's own link does: a jumbo frame of a
cloud's network is none on the Internet."""
RELAY_OVERHEAD = {4: 52, 6: 72}
"""Bytes in front of a relayed packet, by the family between the PoPs: IP, UDP and the relay's header."""
REPAIR_OVERHEAD = 22
"""What repair puts behind it, and what a parity packet is longer than its data."""


def accelerated(network: Network, tunnel: VpnTunnel, relays: list[str]) -> AcceleratedPlan | None:
    """The accelerator in a tunnel's way; None where there is none. `relays` are `relay_nodes`."""
    if tunnel.accelerator is None:
        return None
    item = network.accelerators[tunnel.accelerator]
    return AcceleratedPlan(
        name=tunnel.accelerator,
        region=region_name(item, tunnel),
        headend=tunnel.headend,
        off_address=off_address(network, item),
        mtu=relayed_mtu(network, item, [each for _, each in leading(item, tunnel.headend)], relays),
    )


def accelerated_address(network: Network, tunnel: VpnTunnel) -> Address:
    """What the site speaks to, as it sees it. KeyError for a tunnel without an accelerator."""
    item = network.accelerators[tunnel.accelerator or ""]
    region = item.regions[region_name(item, tunnel)]
    return region.public or region.address


def region_name(item: Accelerator, tunnel: VpnTunnel) -> str:
    """By which region a tunnel's site enters."""
    return tunnel.region or next(iter(item.regions))


def leading(item: Accelerator, headend: Address) -> Iterator[tuple[str, Listener]]:
    """The UDP listeners of an accelerator that have the headend among their endpoints, by address."""
    for name, listener in item.listeners.items():
        if listener.protocol == "udp" and any(
            endpoint.address == headend for endpoint in listener.endpoints.values()
        ):
            yield name, listener


def relayed_mtu(
    network: Network, item: Accelerator, listeners: Iterable[Listener], relays: list[str]
) -> int:
    """The largest packet of a client that the PoPs carry whole, bytes, whatever path is taken.

    `listeners` are those that it may come by.
    """
    egress = item.egress.node
    entries = {region.node for region in item.regions.values()}
    if entries == {egress}:
        return INTERNET_MTU
    carrying = [
        name for name in relays if name == egress or name in entries or _passes(network.nodes[name])
    ]
    repaired = any(listener.repair is not None for listener in listeners)
    return min(_rooms(network, carrying)) - (REPAIR_OVERHEAD if repaired else 0)


def _rooms(network: Network, carrying: list[str]) -> Iterator[int]:
    """What passes whole between these PoPs, by their uplinks and by tunnels if those are used."""
    nodes = [network.nodes[name] for name in carrying]
    family = 4 if all(_family(node, 4) for node in nodes) else 6
    yield min(_link(node) for node in nodes) - RELAY_OVERHEAD[family]
    if network.relay.over == "tunnels":
        for tunnel in network.tunnels.values():
            if set(tunnel.ends) <= set(carrying):
                outer = next(iter(outer_addresses(network, tunnel).values()))
                inside = {a.version for end in tunnel.ends.values() for a in end.addresses}
                room = tunnel_mtu(network, tunnel, outer)
                yield room - max((RELAY_OVERHEAD[version] for version in inside), default=0)


def _passes(node: Node) -> bool:
    return node.transit and node.platform is Platform.LINUX


def _outward(node: Node) -> list[tuple[int, set[Family]]]:
    """MTU and families of the interfaces between the PoPs."""
    for role in ("uplink", "link"):
        found = [
            (interface.mtu, {address.version for address in interface.addresses})
            for interface in node.interfaces.values()
            if interface.role == role
        ]
        if found:
            return found
    return []


def _family(node: Node, family: int) -> bool:
    return any(family in families for _, families in _outward(node))


def _link(node: Node) -> int:
    return min([INTERNET_MTU, *(mtu for mtu, _ in _outward(node))])
