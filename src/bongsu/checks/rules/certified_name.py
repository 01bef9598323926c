"""VPN020: a certificate, and names that are not in it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Connections with a certificate whose identities are left to be addresses."""
    for connection in scene.connections:
        if connection.vpn.certificate is None:
            continue
        for pipe in connection.tunnels:
            lacking = [key for key in ("id", "peer_id") if getattr(pipe.tunnel, key) is None]
            if lacking:
                given = {"id": pipe.plan.local_id, "peer_id": pipe.plan.remote_id}
                yield Finding(
                    "VPN020",
                    Severity.INFO,
                    pipe.at,
                    "a name counts only if it stands in the certificate, and "
                    + " and ".join(f"`{key}` is {given[key]}" for key in lacking)
                    + ": certificates seldom name addresses",
                    "the certificate's subject or one of its alternative names, unless it does",
                )
