"""VPN012: ESP without UDP behind a NAT."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`encapsulation: false` where a NAT stands before the site."""
    for connection in scene.connections:
        if connection.vpn.encapsulation is not False:
            continue
        behind = next((pipe for pipe in connection.tunnels if pipe.plan.nat), None)
        if behind is not None:
            yield Finding(
                "VPN012",
                Severity.ERROR,
                (*connection.at, "encapsulation"),
                f"{behind.plan.local} is {behind.plan.public} outside, and ESP by itself has no ports "
                "that a NAT could go by: most drop it",
                "leave it out: behind a NAT ESP goes in UDP",
            )
