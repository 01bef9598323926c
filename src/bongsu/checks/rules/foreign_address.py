"""ACC008: an accelerated or off address that its PoP does not have."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address


def check(scene: Scene) -> Iterator[Finding]:
    """Addresses against the PoP's interfaces and the prefixes that it announces."""
    for name, item in scene.network.accelerators.items():
        for key, region in item.regions.items():
            at: Path = ("accelerators", name, "regions", key, "address")
            yield from _missing(scene, region.node, region.address, at)
        if item.egress.off_address is not None:
            at = ("accelerators", name, "egress", "off_address")
            yield from _missing(scene, item.egress.node, item.egress.off_address, at)


def _missing(scene: Scene, node: str, address: Address, at: Path) -> Iterator[Finding]:
    item = scene.network.nodes[node]
    own = {each.ip for interface in item.interfaces.values() for each in interface.addresses}
    announced = any(
        address.version == each.prefix.version and address in each.prefix for each in item.announce
    )
    if address not in own and not announced:
        yield Finding(
            "ACC008",
            Severity.ERROR,
            at,
            f"{node} has no address {address} and announces no prefix that holds it: nothing sent "
            "there arrives",
            f"add it to the addresses of {node}'s uplink, or announce its prefix there",
        )
