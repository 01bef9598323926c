"""ACC001: a gateway behind an accelerator that does not speak IPsec through a NAT."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Connections with `encapsulation: false` and a tunnel through an accelerator; told once each."""
    told = set()
    for ride in scene.rides:
        if ride.connection.vpn.encapsulation is False and ride.connection.name not in told:
            told.add(ride.connection.name)
            yield Finding(
                "ACC001",
                Severity.ERROR,
                (*ride.connection.at, "encapsulation"),
                f"{ride.name} is a NAT to both gateways and carries UDP alone: ESP without UDP never "
                f"arrives, and without NAT traversal IKE fails as well",
                "leave `encapsulation` out, and have NAT-T on at the far gateway",
            )
