"""ADR003: a gateway that cannot be reached on its link."""

from collections.abc import Iterator

from bongsu.checks.address import is_no_host
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.model.node import NodeInterface


def check(scene: Scene) -> Iterator[Finding]:
    """Gateways of every interface."""
    for name, node in scene.network.nodes.items():
        for key, interface in node.interfaces.items():
            for field, family in (("gateway", 4), ("gateway6", 6)):
                gateway: Address | None = getattr(interface, field)
                if gateway is not None and (words := _wrong(interface, gateway, family)):
                    yield Finding(
                        "ADR003",
                        Severity.ERROR,
                        ("nodes", name, "interfaces", key, field),
                        f"{gateway} {words}",
                        _hint(gateway, family),
                    )


def _hint(gateway: Address, family: int) -> str:
    if gateway.version != family:
        return f"`{'gateway6' if gateway.version == 6 else 'gateway'}: {gateway}`"
    return "the provider's router on this link is meant"


def _wrong(interface: NodeInterface, gateway: Address, family: int) -> str | None:
    if gateway.version != family:
        return f"is IPv{gateway.version}; this is the IPv{family} gateway"
    own = [address for address in interface.addresses if address.version == family]
    if not own:
        return f"is a gateway for IPv{family}, and the interface has no IPv{family} address"
    if any(address.ip == gateway for address in own):
        return "is the interface's own address"
    # A host route (/32, /128) has its gateway off the link by design, and fe80:: is on every link.
    if gateway.is_link_local or any(a.network.prefixlen == a.max_prefixlen for a in own):
        return None
    if not any(gateway in address.network for address in own):
        return "is in none of the interface's networks, " + ", ".join(str(a.network) for a in own)
    if any(is_no_host(gateway, address.network) for address in own):
        return "is the first or last address of its network, which no router can have"
    return None
