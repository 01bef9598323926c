"""ADR002: two interfaces of one node in one network."""

from collections.abc import Iterator
from dataclasses import dataclass

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Interface


@dataclass(frozen=True, slots=True)
class _Net:
    interface: str
    address: Interface
    path: Path
    vrf: str


def check(scene: Scene) -> Iterator[Finding]:
    """Networks of a node's interfaces and tunnels in one routing table, sorted and swept once."""
    for name in scene.network.nodes:
        nets = sorted(_nets(scene, name), key=_order)
        widest: _Net | None = None
        for net in nets:
            if widest is not None and _overlaps(widest, net):
                if widest.interface != net.interface and widest.address.ip != net.address.ip:
                    yield Finding(
                        "ADR002",
                        Severity.ERROR,
                        net.path,
                        f"{net.address.network} of {net.interface} overlaps "
                        f"{widest.address.network} of {widest.interface}, both at {name}: "
                        "packets for one leave by the other",
                        "give each interface a network of its own",
                    )
            else:
                widest = net


def _nets(scene: Scene, node: str) -> Iterator[_Net]:
    for key, interface in scene.network.nodes[node].interfaces.items():
        for index, address in enumerate(interface.addresses):
            path: Path = ("nodes", node, "interfaces", key, "addresses", index)
            yield _Net(key, address, path, interface.vrf or "")
    for line in scene.lines_of[node]:
        end = line.tunnel.ends[node]
        for index, address in enumerate(end.addresses):
            if not address.ip.is_link_local:
                path = ("tunnels", line.name, "ends", node, "addresses", index)
                yield _Net(line.name, address, path, end.vrf or "")
    for connection in scene.connections_of.get(node, ()):
        for pipe in connection.tunnels:
            if pipe.tunnel.inside is not None and connection.routed:
                yield _Net(pipe.name, pipe.tunnel.inside, (*pipe.at, "inside"), "")


def _order(net: _Net) -> tuple[str, int, int, int]:
    network = net.address.network
    return net.vrf, network.version, int(network.network_address), network.prefixlen


def _overlaps(first: _Net, second: _Net) -> bool:
    a, b = first.address.network, second.address.network
    # Sorted, so a starts no later than b; and prefixes are nested or apart.
    same = first.vrf == second.vrf and a.version == b.version
    return same and int(b.network_address) <= int(a.broadcast_address)
