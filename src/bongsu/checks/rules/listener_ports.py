"""ACC004: a listener that takes one of IPsec's two ports and not the other."""

from collections.abc import Iterator

from bongsu.checks.accelerator import IKE, NAT_T, Ear, ears_of
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Accelerators by all their listeners: those with 500, and those that tunnels go through."""
    used = {ride.name for ride in scene.rides}
    for name, item in scene.network.accelerators.items():
        ears = ears_of(name, item)
        starts = [ear for ear in ears if ear.hears("udp", IKE)]
        floats = [ear for ear in ears if ear.hears("udp", NAT_T)]
        if (starts or name in used) and not floats:
            yield Finding(
                "ACC004",
                Severity.ERROR,
                (*starts[0].at, "ports") if starts else ("accelerators", name, "listeners"),
                f"no listener of {name} takes UDP {NAT_T}: behind a NAT, which the accelerator is, IKE "
                "goes on there after its first two packets, and ESP always",
                f"add {NAT_T} to the listener's ports",
            )
        elif name in used and not starts:
            yield Finding(
                "ACC004",
                Severity.WARNING,
                (*floats[0].at, "ports"),
                f"no listener of {name} takes UDP {IKE}: only gateways that begin at {NAT_T} come up",
                f"add {IKE} to the listener's ports",
            )
        elif starts and floats and _differ(starts[0], floats[0]):
            yield Finding(
                "ACC004",
                Severity.ERROR,
                (*floats[0].at, "endpoints"),
                f"UDP {IKE} leads to others than UDP {NAT_T}: IKE begins with the one gateway and goes "
                "on with another that knows nothing of it",
                "one listener with both ports",
            )


def _differ(first: Ear, second: Ear) -> bool:
    return first.item.endpoints != second.item.endpoints
