"""ACC006: two listeners for one port of one address."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Listeners by PoP, accelerated address and protocol, their ports in order."""
    network = scene.network
    found: dict[tuple[str, str, str], list[tuple[int, int, str, tuple[str | int, ...]]]] = {}
    for ear in scene.ears:
        for region in network.accelerators[ear.accelerator].regions.values():
            key = (region.node, str(region.address), ear.item.protocol)
            name = f"{ear.accelerator}/{ear.name}"
            found.setdefault(key, []).extend(
                (*bounds, name, (*ear.at, "ports")) for bounds in ear.item.ranges
            )
    for (node, address, protocol), bounds in found.items():
        ordered = sorted(bounds)
        last, whose = -1, ""
        for first, end, name, at in ordered:
            if first <= last:
                yield Finding(
                    "ACC006",
                    Severity.ERROR,
                    at,
                    f"{protocol.upper()} {first} of {address} at {node} belongs to {whose} already",
                    "another port, or an address of its own for each accelerator",
                )
            if end > last:
                last, whose = end, name
