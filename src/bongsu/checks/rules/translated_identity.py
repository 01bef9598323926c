"""ACC002: identities that an accelerator's translation breaks."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.relay import off_address


def check(scene: Scene) -> Iterator[Finding]:
    """IKEv1 with a pre-shared key, whose identity is not the address that the far end sees."""
    for ride in scene.rides:
        off = off_address(scene.network, ride.accelerator)
        plan = ride.pipe.plan
        if plan.ike_version == 1 and plan.psk is not None and plan.local_id != str(off):
            yield Finding(
                "ACC002",
                Severity.ERROR,
                (*ride.pipe.at, "id"),
                f"in IKEv1's main mode the far gateway finds the pre-shared key by the address it sees, "
                f"{off}, and then is told {plan.local_id}: it refuses",
                f"`ike: {{version: 2}}`, where identities are free; or leave `id` out: {off} is used",
            )
