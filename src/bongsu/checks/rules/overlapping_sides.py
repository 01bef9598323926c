"""ADR009: one network on two sides of a VPN."""

from collections.abc import Iterator
from dataclasses import dataclass

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Prefix


@dataclass(frozen=True, slots=True)
class _Side:
    prefix: Prefix
    whose: str
    path: Path


def check(scene: Scene) -> Iterator[Finding]:
    """Around each site its own networks and its clouds', around each cloud its sites'; swept once."""
    clouds: dict[str, list[_Side]] = {}
    told = set()
    for site, connections in scene.connections_of.items():
        sides = [
            _Side(address.network, site, ("nodes", site, "interfaces", key, "addresses", place))
            for key, item in scene.network.nodes[site].interfaces.items()
            for place, address in enumerate(item.addresses)
        ]
        for connection in connections:
            cloud = connection.vpn.cloud
            own = [
                _Side(prefix, site, (*connection.at, "networks")) for prefix in connection.networks
            ]
            sides += own
            clouds.setdefault(cloud, []).extend(own)
            sides += [
                _Side(prefix, cloud, ("clouds", cloud, "networks", place))
                for place, prefix in enumerate(connection.cloud.networks)
            ]
        for first, second in _overlaps(sides):
            # A whole cloud given to several sites is told once.
            key = (first.prefix, first.whose, second.prefix, second.whose)
            if key not in told:
                told.add(key)
                yield _finding(first, second, f"at {site}")
    for cloud, sides in clouds.items():
        for first, second in _overlaps(sides):
            # The same network behind two machines is one site with a spare.
            if first.prefix != second.prefix:
                yield _finding(first, second, f"in the cloud {cloud}")


def _overlaps(sides: list[_Side]) -> Iterator[tuple[_Side, _Side]]:
    widest: _Side | None = None
    for side in sorted(sides, key=_order):
        if side.prefix.prefixlen == 0:
            continue  # everything goes there that has no better way: that is meant
        if widest is not None and _holds(widest.prefix, side.prefix):
            if widest.whose != side.whose:
                yield widest, side
        else:
            widest = side


def _order(side: _Side) -> tuple[int, int, int]:
    return side.prefix.version, int(side.prefix.network_address), side.prefix.prefixlen


def _holds(first: Prefix, second: Prefix) -> bool:
    same = first.version == second.version
    return same and int(second.network_address) <= int(first.broadcast_address)


def _finding(first: _Side, second: _Side, where: str) -> Finding:
    return Finding(
        "ADR009",
        Severity.ERROR,
        second.path,
        f"{second.prefix} of {second.whose} overlaps {first.prefix} of {first.whose}: {where} one of "
        "them cannot be reached",
        "renumber one side, or give the VPN the parts only that differ",
    )
