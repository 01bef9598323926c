"""VPN013: keys of packets that outlive those that they were agreed under."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """IKE's lifetime against ESP's, defaults of the profile included."""
    for connection in scene.connections:
        plan = connection.tunnels[0].plan
        if plan.ike_lifetime_s < plan.esp_lifetime_s:
            part = "ike" if connection.vpn.ike.lifetime_s is not None else "esp"
            yield Finding(
                "VPN013",
                Severity.WARNING,
                (*connection.at, part, "lifetime_s"),
                f"IKE lasts {plan.ike_lifetime_s} s and ESP's keys {plan.esp_lifetime_s}: most of the "
                "time nobody watches the tunnel, and gateways that tie the one to the other drop it",
                "ESP's the shorter one, as in 28800 and 3600",
            )
