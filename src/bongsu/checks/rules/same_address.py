"""ADR001: one address given twice."""

from collections.abc import Iterator

from bongsu.checks.address import is_public
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.model.lab import Host


def check(scene: Scene) -> Iterator[Finding]:
    """Addresses of interfaces, tunnel insides and lab hosts.

    A private address may stand on interfaces of different nodes (every home has its 192.168.1.1) and
    VRFs, and a link-local one on every link; a public one and a tunnel's inside one may stand once,
    and that of a VPN's tunnel once at its site.
    """
    seen: dict[tuple[str | None, Address], str] = {}
    for address, scope, where, path in _given(scene):
        first = seen.setdefault((scope, address), where)
        if first != where:
            yield Finding(
                "ADR001",
                Severity.ERROR,
                path,
                f"{address} is given twice: to {first} and to {where}",
                "give one of them another address",
            )


def _given(scene: Scene) -> Iterator[tuple[Address, str | None, str, Path]]:
    """Address, the routing table where it has to be alone (None: everywhere), bearer and place."""
    for name, node in scene.network.nodes.items():
        for key, interface in node.interfaces.items():
            for index, address in enumerate(interface.addresses):
                ip = address.ip
                if ip.version == 4 or not ip.is_link_local:
                    path: Path = ("nodes", name, "interfaces", key, "addresses", index)
                    scope = None if is_public(ip) else _table(name, interface.vrf)
                    yield ip, scope, f"{key} of {name}", path
    for name, tunnel in scene.network.tunnels.items():
        for end, item in tunnel.ends.items():
            for index, address in enumerate(item.addresses):
                ip = address.ip
                where, path = f"{name} at {end}", ("tunnels", name, "ends", end, "addresses", index)
                if not ip.is_link_local:
                    yield ip, None, where, path
                if ip.version == 4 and not is_public(ip):
                    # Against the private addresses of the node's own interfaces.
                    yield ip, _table(end, item.vrf), where, path
    for connection, pipe in scene.pipes:
        if pipe.tunnel.inside is not None:
            # Clouds give all their customers the same ones: they may stand once at a site.
            where = f"{pipe.name} at {connection.site}"
            table = _table(connection.site, None)
            yield pipe.tunnel.inside.ip, table, where, (*pipe.at, "inside")
    if scene.network.lab is not None:
        for name, host in scene.network.lab.hosts.items():
            yield (
                host.address,
                None if is_public(host.address) else _host_table(scene, host),
                f"host {name}",
                ("lab", "hosts", name, "address"),
            )


def _table(node: str, vrf: str | None) -> str:
    return node if vrf is None else f"{node}, VRF {vrf}"


def _host_table(scene: Scene, host: Host) -> str:
    if host.node is None or host.interface is None:
        return f"cloud {host.cloud}"
    return _table(host.node, scene.network.nodes[host.node].interfaces[host.interface].vrf)
