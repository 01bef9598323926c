"""ACC011: an accelerator whose parts do not speak to each other."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.accelerator import Accelerator
from bongsu.model.node import Platform


def check(scene: Scene) -> Iterator[Finding]:
    """Families of accelerated, off and endpoints' addresses; PoPs that are no Linux or far apart."""
    for name, item in scene.network.accelerators.items():
        at = ("accelerators", name)
        family = next(iter(item.regions.values())).address.version
        yield from _own(item, at, family)
        yield from _endpoints(item, at, family)
        yield from _pops(scene, item, at)


def _own(item: Accelerator, at: Path, family: int) -> Iterator[Finding]:
    addresses = {(*at, "regions", key): region.address for key, region in item.regions.items()}
    if item.egress.off_address is not None:
        addresses[(*at, "egress")] = item.egress.off_address
    for place, address in addresses.items():
        if address.version != family:
            yield Finding(
                "ACC011",
                Severity.ERROR,
                place,
                f"IPv{address.version}, and the accelerator's first region has IPv{family}",
                "one family for each accelerator",
            )


def _endpoints(item: Accelerator, at: Path, family: int) -> Iterator[Finding]:
    for key, listener in item.listeners.items():
        for name, endpoint in listener.endpoints.items():
            address = endpoint.address
            if isinstance(address, IPv4Address | IPv6Address) and address.version != family:
                yield Finding(
                    "ACC011",
                    Severity.ERROR,
                    (*at, "listeners", key, "endpoints", name, "address"),
                    f"{address} is IPv{address.version}, and clients enter by IPv{family}: packets are "
                    "led on, not translated from one family to the other",
                    f"an IPv{family} address of the endpoint",
                )


def _pops(scene: Scene, item: Accelerator, at: Path) -> Iterator[Finding]:
    egress = item.egress.node
    for node in dict.fromkeys([*(region.node for region in item.regions.values()), egress]):
        plan = scene.plans[node]
        if plan.platform is not Platform.LINUX:
            words = f"{node} is no Linux machine of ours, and cannot relay"
            yield Finding("ACC011", Severity.ERROR, at, words, "a PoP of `platform: linux`")
            continue
        peers = plan.relay.peers if plan.relay is not None else []
        if node != egress and egress not in [peer.node for peer in peers]:
            words = f"{node} and {egress} have no family of addresses in common"
            hint = "an address of the same family on an uplink of both"
            yield Finding("ACC011", Severity.ERROR, at, words, hint)
