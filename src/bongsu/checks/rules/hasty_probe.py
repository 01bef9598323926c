"""ACC017: a tunnel that is given up before the accelerator has found another path."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene

MARGIN = 2
"""A path dies between two probes, and the other end has to notice as well."""


def check(scene: Scene) -> Iterator[Finding]:
    """The probes of accelerated connections against the time in which the PoPs see a dead path."""
    mesh = scene.network.relay.mesh
    told = set()
    for ride in scene.rides:
        probe, name = ride.connection.vpn.probe, ride.connection.name
        if probe is None or name in told or len(set(_pops(scene, ride.name))) < MARGIN:
            continue
        gives_up, finds = probe.interval_ms * probe.misses, mesh.interval_ms * mesh.dead_after
        if gives_up < MARGIN * finds:
            told.add(name)
            yield Finding(
                "ACC017",
                Severity.WARNING,
                (*ride.connection.at, "probe"),
                f"the tunnel is taken for dead after {gives_up} ms, and the PoPs need {finds} ms to see "
                "that a path is: all tunnels fall where another path would have carried them",
                f"`misses: {-(-MARGIN * finds // probe.interval_ms)}` or more, or a faster `relay.mesh`",
            )


def _pops(scene: Scene, accelerator: str) -> list[str]:
    item = scene.network.accelerators[accelerator]
    return [item.egress.node, *(region.node for region in item.regions.values())]
