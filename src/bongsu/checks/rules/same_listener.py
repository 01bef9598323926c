"""ACC006: two listeners for one port of one address."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene

Claim = tuple[int, int, str, Path]
"""First port, last port, whose, and where it stands."""


def check(scene: Scene) -> Iterator[Finding]:
    """Listeners by PoP, accelerated address and protocol, their ports in order."""
    yield from _regions(scene)
    found: dict[tuple[str, str, str], list[Claim]] = {}
    for ear in scene.ears:
        regions = scene.network.accelerators[ear.accelerator].regions.values()
        for node, address in dict.fromkeys((each.node, str(each.address)) for each in regions):
            found.setdefault((node, address, ear.item.protocol), []).extend(
                (*bounds, f"{ear.accelerator}/{ear.name}", (*ear.at, "ports"))
                for bounds in ear.item.ranges
            )
    told: set[tuple[Path, int]] = set()
    for (node, address, protocol), claims in found.items():
        for first, at, whose, own in _twice(claims):
            # several regions have the same listeners
            if (at, first) in told:
                continue
            told.add((at, first))
            port = f"{protocol.upper()} {first}"
            yield Finding(
                "ACC006",
                Severity.ERROR,
                at,
                f"{port} stands in this list twice"
                if own
                else f"{port} of {address} at {node} belongs to {whose} already",
                "once is enough"
                if own
                else "another port, or an address of its own for each accelerator",
            )


def _regions(scene: Scene) -> Iterator[Finding]:
    """Two regions of an accelerator that are one door."""
    for name, item in scene.network.accelerators.items():
        doors: dict[tuple[str, str], str] = {}
        for key, region in item.regions.items():
            first = doors.setdefault((region.node, str(region.address)), key)
            if first != key:
                yield Finding(
                    "ACC006",
                    Severity.ERROR,
                    ("accelerators", name, "regions", key),
                    f"{region.address} at {region.node} is the region {first} already",
                    "another PoP; with anycast it may have the same address",
                )


def _twice(claims: list[Claim]) -> Iterator[tuple[int, Path, str, bool]]:
    """Ports that somebody has already: the port, the later place, whose it is, whether the same one's."""
    last, whose = -1, ""
    for first, end, name, at in sorted(claims):
        if first <= last:
            yield first, at, whose, whose == name
        if end > last:
            last, whose = end, name
