"""Namespaces, addresses and LANs of a lab, by netlink. Nothing here touches the machine's own.

Every interface is made inside a namespace of the lab and never passes through the root namespace;
no member has a route, bridge or NAT towards the machine.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from bongsu.lab.blueprint import Port, Segment, Topology
from bongsu.lab.nat import BRIDGE, Nat, ruleset
from bongsu.lab.state import LabPaths
from bongsu.model.base import Address, Interface
from bongsu.system import netns
from bongsu.system.run import run

HOST_INTERFACE = "eth0"


def make_namespaces(topology: Topology, paths: LabPaths) -> None:
    """One namespace a member, `lo` up; routers forward and do not check reverse paths."""
    for member in topology.members():
        make_namespace(paths.netns(member))
    for router in topology.routers.values():
        with netns.in_netns(paths.netns(router.name)):
            _sysctl("net/ipv4/ip_forward", 1)
            _sysctl("net/ipv4/conf/all/rp_filter", 0)
            _sysctl("net/ipv4/conf/default/rp_filter", 0)
            # Time exceeded must not be limited: the probe reads the path from it.
            _sysctl("net/ipv4/icmp_ratelimit", 0)
            if 6 in topology.families:
                _sysctl("net/ipv6/conf/all/forwarding", 1)
                _sysctl("net/ipv6/icmp/ratelimit", 0)
        with _netlink(paths.netns(router.name)) as ip:
            for loopback in router.loopbacks:
                _add_address(ip, 1, loopback)


def make_namespace(name: str) -> None:
    """An empty namespace with `lo` up."""
    netns.create(name)
    with _netlink(name) as ip:
        ip.link("set", index=1, state="up")


def configure_ports(topology: Topology, paths: LabPaths, members: Iterable[str]) -> None:
    """Addresses and routes on the cables' ends that belong to `members`."""
    wanted = set(members)
    ports: dict[str, list[Port]] = {}
    for cable in topology.cables.values():
        for port in (cable.a, cable.b):
            if port.member in wanted:
                ports.setdefault(port.member, []).append(port)
    for member, ends in ports.items():
        with _netlink(paths.netns(member)) as ip:
            for address in topology.loopbacks.get(member, ()):
                _add_address(ip, 1, address)
            for port in ends:
                _configure(ip, port)
        for port in ends:
            if port.proxy_arp:
                with netns.in_netns(paths.netns(member)):
                    _sysctl(f"net/ipv4/conf/{port.interface}/proxy_arp", 1)


def make_segment(segment: Segment, paths: LabPaths) -> None:
    """A LAN: bridge, the node's port, and every host with its address and default route."""
    with _netlink(paths.netns(segment.name)) as ip:
        ip.link("add", ifname=BRIDGE, kind="bridge", br_forward_delay=0)
        ip.link("set", index=_index(ip, BRIDGE), state="up")
        for number, host in enumerate(segment.hosts):
            _plug(ip, f"host{number}", paths.netns(host.name), HOST_INTERFACE)
    plug_into_segment(segment, paths)
    for host in segment.hosts:
        _settle_host(paths.netns(host.name), host.address, host.gateway)


def make_nat(nat: Nat, paths: LabPaths) -> None:
    """A 1:1 NAT and its subnet; its cables must be there, and are configured afterwards."""
    name = paths.netns(nat.name)
    with netns.in_netns(name):
        _sysctl("net/ipv4/ip_forward", 1)
        for which in ("all", "default"):
            _sysctl(f"net/ipv4/conf/{which}/rp_filter", 0)
            # A cloud's virtual router tells nobody of a shorter way.
            _sysctl(f"net/ipv4/conf/{which}/send_redirects", 0)
    with _netlink(name) as ip:
        ip.link("add", ifname=BRIDGE, kind="bridge", br_forward_delay=0)
        for number, host in enumerate(nat.hosts):
            _plug(ip, f"host{number}", paths.netns(host.name), HOST_INTERFACE, nat.mtu)
        bridge = _index(ip, BRIDGE)
        ip.link("set", index=bridge, mtu=nat.mtu, state="up")
        _add_address(ip, bridge, nat.gateway)
        for prefix in nat.routes:
            ip.route("add", dst=str(prefix), gateway=str(nat.private), oif=bridge)
    for host in nat.hosts:
        _settle_host(paths.netns(host.name), host.address, nat.gateway.ip, nat.mtu)
    run(["nft", "-f", "-"], input=ruleset(nat), netns=name)


def _settle_host(
    name: str, address: Interface, gateway: Address | None, mtu: int | None = None
) -> None:
    with _netlink(name) as ip:
        index = _index(ip, HOST_INTERFACE)
        if mtu is not None:
            ip.link("set", index=index, mtu=mtu)
        ip.link("set", index=index, state="up")
        _add_address(ip, index, address)
        if gateway is not None:
            default = "0.0.0.0/0" if address.version == 4 else "::/0"
            ip.route("add", dst=default, gateway=str(gateway))


def plug_into_segment(segment: Segment, paths: LabPaths) -> None:
    """The node's port of a LAN; anew after the node has been killed, for the port went with it."""
    with _netlink(paths.netns(segment.name)) as ip:
        _plug(ip, "node", paths.netns(segment.node), segment.interface)
    with _netlink(paths.netns(segment.node)) as ip:
        _configure(ip, Port(segment.node, segment.interface, segment.addresses))


@contextlib.contextmanager
def _netlink(namespace: str) -> Iterator[Any]:
    """A netlink socket into the namespace; this thread stays where it is afterwards."""
    with netns.in_netns(namespace):
        ip = IPRoute()
    try:
        yield ip
    finally:
        ip.close()


def _configure(ip: Any, port: Port) -> None:
    index = _index(ip, port.interface)
    if port.bridged:
        ip.link("set", index=index, master=_index(ip, BRIDGE))
    ip.link("set", index=index, state="up")
    for address in port.addresses:
        _add_address(ip, index, address)
    for here, there in port.peers:
        _add_address(ip, index, ip_interface(here), there)
    for prefix, gateway in port.routes:
        if gateway is None:
            ip.route(
                "replace", dst=str(prefix), oif=index, scope=253, family=_family(prefix.version)
            )
        else:
            ip.route("replace", dst=str(prefix), gateway=str(gateway), oif=index)


def _family(version: int) -> int:
    return 2 if version == 4 else 10


def _add_address(ip: Any, index: int, address: Interface, peer: Address | None = None) -> None:
    # Duplicate address detection would hold an IPv6 address back for a second, with nobody to ask.
    flags = {"flags": 0x02} if address.version == 6 else {}
    ip.addr(
        "replace",
        index=index,
        local=str(address.ip),
        address=str(peer or address.ip),
        prefixlen=address.network.prefixlen,
        **flags,
    )


def _plug(ip: Any, name: str, peer_netns: str, peer_name: str, mtu: int | None = None) -> None:
    """A cable from a port of the bridge into another namespace."""
    fd = netns.open_fd(peer_netns)
    try:
        ip.link("add", ifname=name, kind="veth", peer={"ifname": peer_name, "net_ns_fd": fd})
    finally:
        os.close(fd)
    index = _index(ip, name)
    if mtu is not None:
        ip.link("set", index=index, mtu=mtu)
    ip.link("set", index=index, master=_index(ip, BRIDGE), state="up")


def _index(ip: Any, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise LookupError(f"no interface {name}")
    return int(found[0])


def _sysctl(key: str, value: int) -> None:
    Path(f"/proc/sys/{key}").write_text(str(value))
