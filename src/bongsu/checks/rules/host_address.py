"""ADR008: an address that no host can have."""

from collections.abc import Iterator

from bongsu.checks.address import is_no_host
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address, Prefix
from bongsu.plan.compile import host_networks


def check(scene: Scene) -> Iterator[Finding]:
    """Addresses of interfaces and of the lab's hosts (RFC 1122 section 3.2.1.3); ADR004 has tunnels."""
    for address, network, path in _given(scene):
        if is_no_host(address, network):
            yield Finding(
                "ADR008",
                Severity.ERROR,
                path,
                f"{address} is the first or last address of {network}, which no host can have",
                f"one in between, such as {network[1]}; or another length, if the network is another",
            )


def _given(scene: Scene) -> Iterator[tuple[Address, Prefix, Path]]:
    for name, node in scene.network.nodes.items():
        for key, interface in node.interfaces.items():
            for index, address in enumerate(interface.addresses):
                path: Path = ("nodes", name, "interfaces", key, "addresses", index)
                yield address.ip, address.network, path
    if scene.network.lab is not None:
        for name, host in scene.network.lab.hosts.items():
            for network in host_networks(scene.network, host):
                if host.address in network:
                    yield host.address, network, ("lab", "hosts", name, "address")
