"""SEC001: plain GRE over the open Internet that nobody has said is meant."""

from collections.abc import Iterator

from bongsu.checks.address import is_public
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.compile import outer_addresses


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with a public outer address without `insecure: true`."""
    for name, tunnel in scene.network.tunnels.items():
        if tunnel.insecure:
            continue
        outer = outer_addresses(scene.network, tunnel)
        if any(is_public(address) for address in outer.values()):
            ends = " and ".join(str(address) for address in outer.values())
            yield Finding(
                "SEC001",
                Severity.ERROR,
                ("tunnels", name),
                f"plain GRE between {ends} crosses the open Internet: anyone on the way reads it, "
                "and anyone who can send from a forged address writes into it",
                "say that this is meant with `insecure: true`",
            )
