"""ACC003: public space that looks private, used as a network of a site or a cloud."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from bongsu.checks.address import kind
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Prefix

_LIKENESS = {
    IPv4Network("172.0.0.0/8"): IPv4Network("172.16.0.0/12"),
    IPv4Network("192.160.0.0/11"): IPv4Network("192.168.0.0/16"),
    IPv4Network("100.0.0.0/8"): IPv4Network("100.64.0.0/10"),
    IPv4Network("11.0.0.0/8"): IPv4Network("10.0.0.0/8"),
}
"""Where one wrong octet leads out of a private range."""


def check(scene: Scene) -> Iterator[Finding]:
    """Networks on both sides of all VPN connections; each place is told once."""
    told = set()
    for path, prefix in _sides(scene):
        if (path, prefix) in told or prefix.prefixlen == 0 or scene.owned.holds(prefix):
            continue
        told.add((path, prefix))
        if kind(prefix) is None:
            yield _finding(path, prefix)


def _sides(scene: Scene) -> Iterator[tuple[Path, Prefix]]:
    for connection in scene.connections:
        cloud = connection.vpn.cloud
        for place, prefix in enumerate(connection.cloud.networks):
            yield ("clouds", cloud, "networks", place), prefix
        for place, prefix in enumerate(connection.vpn.networks or []):
            yield (*connection.at, "networks", place), prefix
        if connection.vpn.networks is None:
            for key, item in connection.node.interfaces.items():
                for place, address in enumerate(item.addresses):
                    if item.role == "lan":
                        at = ("nodes", connection.site, "interfaces", key, "addresses", place)
                        yield at, address.network


def _finding(path: Path, prefix: Prefix) -> Finding:
    meant = next(
        (private for public, private in _LIKENESS.items() if _within(prefix, public)), None
    )
    looks = f": it only looks like {meant}" if meant is not None else ""
    return Finding(
        "ACC003",
        Severity.WARNING,
        path,
        f"{prefix} is public address space and not the owner's{looks}. Gateways and clouds that know "
        "no better send what goes there to the Internet, with the tunnel up",
        "renumber into 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16; if it cannot be, have each cloud "
        "take it for private; if it is yours, add it to `owner.prefixes`",
    )


def _within(prefix: Prefix, wider: IPv4Network) -> bool:
    return isinstance(prefix, IPv4Network) and prefix.subnet_of(wider)
