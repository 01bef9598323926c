"""ACC007: more traffic declared than bandwidth bought."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Of each accelerator with both."""
    for name, item in scene.network.accelerators.items():
        declared = sum(listener.traffic_mbps or 0 for listener in item.listeners.values())
        if item.bandwidth_mbps is not None and declared > item.bandwidth_mbps:
            yield Finding(
                "ACC007",
                Severity.WARNING,
                ("accelerators", name, "bandwidth_mbps"),
                f"the listeners of {name} are to carry {declared} Mb/s, and {item.bandwidth_mbps} Mb/s "
                "are bought: what exceeds it is dropped",
                f"`bandwidth_mbps: {declared}`, or less traffic",
            )
