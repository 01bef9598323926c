"""ACC012: endpoints that are promised one source, and none is set aside."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`source_consistent` without an `off_address`, and tunnels through what is not consistent."""
    for name, item in scene.network.accelerators.items():
        if item.source_consistent and item.egress.off_address is None:
            yield Finding(
                "ACC012",
                Severity.ERROR,
                ("accelerators", name, "egress"),
                f"endpoints are to see one source, and {item.egress.node} has no address set aside for "
                "it: its uplink's first one changes with the machine",
                "`off_address`, one of the PoP's own; or `source_consistent: false`",
            )
    for ride in scene.rides:
        if not ride.accelerator.source_consistent:
            yield Finding(
                "ACC012",
                Severity.WARNING,
                ("accelerators", ride.name, "source_consistent"),
                f"{ride.pipe.name} goes through {ride.name}: the far gateway knows one peer by its "
                "address, and this one may change",
                "`source_consistent: true` and an `off_address`",
            )
