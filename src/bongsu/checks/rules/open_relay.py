"""ACC009: PoPs that take anybody's word for another PoP's."""

from collections.abc import Iterator

from bongsu.checks.address import is_public
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Relays without a key between public addresses, outside of tunnels."""
    relay = scene.network.relay
    if relay.key is not None or relay.insecure:
        return
    for name, plan in scene.plans.items():
        for peer in plan.relay.peers if plan.relay is not None else []:
            if peer.tunnel is None and is_public(peer.remote):
                yield Finding(
                    "ACC009",
                    Severity.ERROR,
                    ("accelerators",),
                    f"{name} and {peer.node} relay over the open Internet without a key: who forges "
                    "the address of one can send in its name to the other",
                    "`relay: {key: env:RELAY_KEY}`, or `insecure: true` if that is meant",
                )
                return
