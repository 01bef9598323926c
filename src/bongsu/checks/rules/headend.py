"""VPN018: a headend that cannot be spoken to, or not told from another."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address


def check(scene: Scene) -> Iterator[Finding]:
    """Headends by family, against the site's own addresses, and against each other."""
    seen: dict[tuple[str, Address, Address], str] = {}
    for connection, pipe in scene.pipes:
        plan = pipe.plan
        at = (*pipe.at, "headend")
        own = {ip.ip for item in connection.node.interfaces.values() for ip in item.addresses}
        if plan.local.version != plan.remote.version:
            yield Finding(
                "VPN018",
                Severity.ERROR,
                at,
                f"{plan.remote} is IPv{plan.remote.version}, and {plan.underlay} of "
                f"{connection.site} has no address of that family",
                f"an IPv{plan.remote.version} address on {plan.underlay}, or the headend's other one",
            )
        elif plan.remote in own or plan.remote == plan.public:
            yield Finding(
                "VPN018",
                Severity.ERROR,
                at,
                f"{plan.remote} is {connection.site}'s own address",
                "the cloud gateway's address is meant",
            )
        elif connection.routed:
            first = seen.setdefault((connection.site, plan.local, plan.remote), pipe.name)
            if first != pipe.name:
                yield Finding(
                    "VPN018",
                    Severity.ERROR,
                    at,
                    f"{first} and {pipe.name} go from {plan.local} to {plan.remote}: the gateway "
                    "takes the second for the first begun anew, and the two end each other",
                    "the cloud's other headend, or another uplink of the site",
                )
