"""ACC016: two sites that a gateway sees as one."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address
from bongsu.plan.relay import off_address


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels of different sites by off address and headend."""
    seen: dict[tuple[Address, Address], tuple[str, str]] = {}
    for ride in scene.rides:
        key = (off_address(scene.network, ride.accelerator), ride.pipe.tunnel.headend)
        site, pipe = ride.connection.site, ride.pipe.name
        first_site, first = seen.setdefault(key, (site, pipe))
        if first_site != site:
            yield Finding(
                "ACC016",
                Severity.ERROR,
                (*ride.pipe.at, "accelerator"),
                f"{pipe} of {site} and {first} of {first_site} come to {key[1]} from {key[0]} both: the "
                "gateway knows a customer by that address, and takes the two for one",
                "an off address, and so an accelerator, for each site",
            )
