"""ACC010: a tunnel through an accelerator that leads elsewhere."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """A tunnel's headend against the endpoints of the listeners that take IPsec."""
    for ride in scene.rides:
        leads = [e.address for ear in ride.ears for e in ear.item.endpoints.values()]
        if leads and ride.pipe.tunnel.headend not in leads:
            named = ", ".join(dict.fromkeys(str(address) for address in leads))
            yield Finding(
                "ACC010",
                Severity.ERROR,
                (*ride.pipe.at, "headend"),
                f"{ride.name} leads to {named}, and this tunnel's gateway is "
                f"{ride.pipe.tunnel.headend}: the keys are another gateway's",
                f"put {ride.pipe.tunnel.headend} into the endpoints of {ride.name}",
            )
        elif len(set(leads)) > 1:
            yield Finding(
                "ACC010",
                Severity.WARNING,
                (*ride.pipe.at, "accelerator"),
                f"{ride.name} spreads clients over {len(set(leads))} gateways, and this tunnel has the "
                "keys of one",
                "one accelerator for each gateway",
            )
