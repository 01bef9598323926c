"""Interfaces: the machine's own, loopbacks and tunnels."""

from collections.abc import Iterator

from bongsu.model.base import Family
from bongsu.model.tunnel import Keepalive
from bongsu.plan.ios_names import vlan
from bongsu.plan.node import InterfacePlan, NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.ios.access import inbound_families, inbound_name
from bongsu.render.ios.crypto import map_on, profile_name, shares_profile
from bongsu.render.ios.routing import policy_map
from bongsu.render.ios.words import Names, Section, in_vrf, indented, ip, own_address
from bongsu.render.text import RenderError, address, name, number

ETHERNET_MTU = 1500
TTL = 255
"""What IOS gives a tunnel's outer packets by itself."""
MSS_HEADER: dict[Family, int] = {4: 40, 6: 60}
"""Bytes of IP and TCP header: the MTU less these is the MSS (RFC 879, RFC 8201)."""
MSS_LIMIT: dict[Family, int] = {4: 1460, 6: 1440}
"""The most that `tcp adjust-mss` takes."""


def loopbacks(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Loopbacks, which crypto maps name."""
    for item in plan.interfaces:
        if item.role == "loopback":
            yield [f"interface {names.port(item.name)}", *indented(_port(plan, names, item))]


def interfaces(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Ports, then tunnels, which name them."""
    for item in plan.interfaces:
        if item.role != "loopback":
            yield [f"interface {names.port(item.name)}", *indented(_port(plan, names, item))]
    for tunnel in plan.tunnels:
        yield [
            f"interface {names.tunnel(tunnel.name)}",
            *indented(_tunnel(plan, names, tunnel)),
        ]
    for vpn in plan.vpns:
        yield [f"interface {names.tunnel(vpn.name)}", *indented(_vpn(names, vpn))]


def _port(plan: NodePlan, names: Names, item: InterfacePlan) -> Iterator[str]:
    tag = vlan(item.name)
    if tag is not None:
        yield f"encapsulation dot1Q {number(tag)}"
    if item.vrf is not None:
        # It takes the addresses away, so it comes before them.
        yield f"vrf forwarding {name(item.vrf)}"
    first = next((own for own in item.addresses if own.version == 4), None)
    for own in item.addresses:
        second = own.version == 4 and own is not first
        yield own_address(own) + (" secondary" if second else "")
    if item.role == "loopback":
        return
    if item.mtu != ETHERNET_MTU:
        yield f"{'mtu' if tag is None else 'ip mtu'} {number(item.mtu)}"
    yield from _policies(plan, item.name)
    crypto = map_on(plan, names, item.name)
    if crypto is not None:
        yield f"crypto map {crypto}"
    yield "no shutdown"


def _tunnel(plan: NodePlan, names: Names, tunnel: TunnelPlan) -> Iterator[str]:
    yield f"description {name(tunnel.name)} to {name(tunnel.peer)}"
    if tunnel.vrf is not None:
        yield f"vrf forwarding {name(tunnel.vrf)}"
    yield from _inside(tunnel)
    for family in inbound_families(tunnel):
        how = "access-group" if family == 4 else "traffic-filter"
        yield f"{ip(family)} {how} {inbound_name(names, tunnel, family)} in"
    if tunnel.rpf is not None:
        way = "rx" if tunnel.rpf == "strict" else "any"
        for family in _families(tunnel):
            yield f"{ip(family)} verify unicast source reachable-via {way}"
    yield from _policies(plan, tunnel.name)
    if tunnel.keepalive is not None:
        yield _keepalive(tunnel.keepalive)
    yield from _outside(names, tunnel)
    if tunnel.ipsec is not None and tunnel.protection == "tunnel-protection":
        shared = " shared" if shares_profile(plan, tunnel) else ""
        yield f"tunnel protection ipsec profile {profile_name(plan, names, tunnel)}{shared}"


def _vpn(names: Names, vpn: VpnTunnelPlan) -> Iterator[str]:
    if vpn.inside is None:
        raise RenderError("a tunnel interface of IOS needs an inside address")
    yield f"description {name(vpn.name)} to {name(vpn.cloud)}"
    yield own_address(vpn.inside)
    yield f"ip mtu {number(vpn.mtu)}"
    yield f"ip tcp adjust-mss {number(min(vpn.mtu - MSS_HEADER[4], MSS_LIMIT[4]))}"
    yield f"ip access-group {names.of_tunnel(vpn.name, 'IN')} in"
    if vpn.rpf == "strict":
        # What `loose` would drop, the list does not let in anyway.
        yield "ip verify unicast source reachable-via rx"
    yield f"tunnel source {names.source(vpn.local)}"
    yield "tunnel mode ipsec ipv4"
    yield f"tunnel destination {address(vpn.remote)}"
    yield f"tunnel protection ipsec profile {names.of_tunnel(vpn.name)}"


def _inside(tunnel: TunnelPlan) -> Iterator[str]:
    first = next((own for own in tunnel.addresses if own.version == 4), None)
    for own in tunnel.addresses:
        second = own.version == 4 and own is not first
        yield own_address(own) + (" secondary" if second else "")
    for family in _families(tunnel):
        mss = min(tunnel.mtu - MSS_HEADER[family], MSS_LIMIT[family])
        yield f"{ip(family)} mtu {number(tunnel.mtu)}"
        yield f"{ip(family)} tcp adjust-mss {number(mss)}"
    if tunnel.multipoint:
        yield "ip nhrp network-id 1"
        for peer in tunnel.peer_addresses:
            yield f"ip nhrp map {address(peer)} {address(tunnel.remote)}"


def _outside(names: Names, tunnel: TunnelPlan) -> Iterator[str]:
    yield f"tunnel source {names.source(tunnel.local)}"
    if tunnel.multipoint:
        yield "tunnel mode gre multipoint"
    else:
        yield f"tunnel destination {address(tunnel.remote)}"
        if tunnel.remote.version == 6:
            yield "tunnel mode gre ipv6"
    if tunnel.key is not None:
        yield f"tunnel key {number(tunnel.key)}"
    if tunnel.ttl != TTL:
        yield f"tunnel ttl {number(tunnel.ttl)}"
    if tunnel.tos != "inherit":
        yield f"tunnel tos {number(tunnel.tos)}"
    if tunnel.transport_vrf is not None:
        yield f"tunnel{in_vrf(tunnel.transport_vrf)}"


def _keepalive(keepalive: Keepalive) -> str:
    if keepalive.milliseconds is not None:
        raise RenderError("IOS has no keepalive in milliseconds")
    return f"keepalive {number(keepalive.seconds)} {number(keepalive.retries)}"


def _policies(plan: NodePlan, interface: str) -> Iterator[str]:
    for family in (4, 6):
        found = policy_map(plan, interface, family)
        if found is not None:
            yield f"{ip(family)} policy route-map {found}"


def _families(tunnel: TunnelPlan) -> list[Family]:
    inside = {own.version for own in tunnel.addresses}
    return [family for family in MSS_HEADER if family in inside]
