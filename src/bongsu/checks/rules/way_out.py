"""RTE004: replies that have no way out."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform


def check(scene: Scene) -> Iterator[Finding]:
    """Prefixes at home against the tunnels by which their replies may leave.

    A home's own provider drops packets from the prefix (BCP 38), so they have to leave at a PoP: by a
    tunnel with `egress`, whose BGP tells home the way.
    """
    for plan in scene.plans.values():
        lines = {tunnel.name: tunnel for tunnel in plan.tunnels}
        for item in plan.home:
            # On a platform that is not rendered for BGP, a person sets the way by hand.
            by_hand = plan.platform is not Platform.LINUX
            closed = [
                key
                for key in item.tunnels
                if not lines[key].egress or not (lines[key].bgp or by_hand)
            ]
            if not closed:
                continue
            last = len(closed) == len(item.tunnels)
            silent = [key for key in closed if lines[key].egress]
            yield Finding(
                "RTE004",
                Severity.ERROR if last else Severity.WARNING,
                ("tunnels", closed[0]),
                f"replies from {item.prefix} cannot leave by {', '.join(closed[:3])}"
                + (": they have no way out at all" if last else ", when the other ways are down"),
                "`bgp: true`, by which home learns the way"
                if silent
                else "`egress: true` lets them leave at the PoP",
            )
