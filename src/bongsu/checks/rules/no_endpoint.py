"""ACC018: an endpoint that clients cannot be led to."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from bongsu.checks.accelerator import Ear
from bongsu.checks.address import kind
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.plan.relay import egress_addresses

NOWHERE = ("this network", "loopback", "link-local", "multicast", "reserved", "discard-only")
"""Beginnings of what `kind` says of addresses that lead to nobody else."""


def check(scene: Scene) -> Iterator[Finding]:
    """Endpoints by address, and groups in which nobody takes clients."""
    own = _own(scene)
    for ear in scene.ears:
        endpoints = ear.item.endpoints
        for name, endpoint in endpoints.items():
            address = endpoint.address
            if isinstance(address, IPv4Address | IPv6Address):
                at: Path = (*ear.at, "endpoints", name, "address")
                yield from _led_nowhere(scene, ear, address, at, own)
        if all(endpoint.weight == 0 for endpoint in endpoints.values()):
            yield Finding(
                "ACC018",
                Severity.ERROR,
                (*ear.at, "endpoints"),
                f"no endpoint of {ear.accelerator}/{ear.name} takes clients: every weight is 0",
                "leave `weight` out, or give one endpoint more than 0",
            )


def _own(scene: Scene) -> dict[Address, str]:
    """Whose the accelerated and off addresses are, as others see them."""
    found: dict[Address, str] = {}
    for name, item in scene.network.accelerators.items():
        for region in item.regions.values():
            for address in (region.address, region.public or region.address):
                found[address] = f"an accelerated address of {name}"
        for address in egress_addresses(scene.network, item):
            found.setdefault(address, f"the off address of {name}")
    return found


def _led_nowhere(
    scene: Scene, ear: Ear, address: Address, at: Path, own: dict[Address, str]
) -> Iterator[Finding]:
    sort = kind(address)
    if address in own:
        yield Finding(
            "ACC018",
            Severity.ERROR,
            at,
            f"{address} is {own[address]}: packets would be led to the PoPs themselves, not to a "
            "gateway or server",
            "the address of the gateway or server behind the egress",
        )
    elif sort is not None and sort.startswith(NOWHERE):
        yield Finding(
            "ACC018",
            Severity.ERROR,
            at,
            f"{address} is {sort}: no gateway or server elsewhere has it",
            "the address at which the egress PoP reaches it",
        )
    elif sort is not None and not _reached(scene, ear, address):
        egress = scene.network.accelerators[ear.accelerator].egress.node
        yield Finding(
            "ACC018",
            Severity.WARNING,
            at,
            f"{address} is {sort}, and {egress} has no network or route that leads there: what its "
            "provider is given for it is dropped",
            "the address that the Internet sees; or a LAN, a route or a VPN of the egress PoP",
        )


def _reached(scene: Scene, ear: Ear, address: Address) -> bool:
    """Whether the egress has anything but its default route for the address."""
    network = scene.network
    name = network.accelerators[ear.accelerator].egress.node
    node = network.nodes[name]
    leads = [each.network for interface in node.interfaces.values() for each in interface.addresses]
    leads += [route.to for route in node.routes]
    for vpn in network.vpns.values():
        if vpn.site == name:
            leads += network.clouds[vpn.cloud].networks
    routed = any(name in tunnel.ends for tunnel in network.tunnels.values())
    return routed or any(address.version == each.version and address in each for each in leads)
