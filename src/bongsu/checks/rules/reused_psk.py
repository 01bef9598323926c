"""VPN009: one pre-shared key for two gateways."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """References of pre-shared keys, over all connections and sites, and those of GRE's IPsec."""
    seen = {
        tunnel.ipsec.psk: f"tunnels.{name}"
        for name, tunnel in scene.network.tunnels.items()
        if tunnel.ipsec is not None
    }
    for connection, pipe in scene.pipes:
        if pipe.plan.psk is None:
            continue
        here = f"{pipe.name} of {connection.site}"
        first = seen.setdefault(pipe.plan.psk, here)
        if first != here:
            yield Finding(
                "VPN009",
                Severity.WARNING,
                (*pipe.at, "psk"),
                f"{first} and {here} have one key: whoever learns it at one of them is the other, too",
                "a key for each tunnel, as clouds make them by themselves",
            )
