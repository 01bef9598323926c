"""GRE003: only one end would notice that the tunnel is dead."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import SILENT
from bongsu.model.node import Role
from bongsu.plan.prediction import Outcome, predict_keepalive

SHOWN = 3
"""Prefixes that are named."""


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with keepalives from one end only and no BFD, which would tell both.

    A router that is the hub of many and has nothing to turn to is let pass: it is what GRE009 advises.
    """
    senders: dict[str, list[str]] = {}
    for watch in scene.watches:
        senders.setdefault(watch.tunnel, []).append(watch.sender)
    for name, sending in senders.items():
        tunnel = scene.network.tunnels[name]
        if len(sending) == 2 or tunnel.multipoint or (tunnel.bfd is not None and tunnel.bgp):
            continue
        blind = next(node for node in tunnel.ends if node not in sending)
        use = scene.use(blind, name)
        router = scene.network.nodes[blind].role is Role.ROUTER
        if router and scene.is_hub(blind) and not use.replaced:
            continue
        words = (
            f"only {sending[0]} sends keepalives: when the tunnel dies, {blind} goes on sending "
        )
        if use.prefixes:
            more = ", ..." if len(use.prefixes) > SHOWN else ""
            words += ", ".join(map(str, use.prefixes[:SHOWN])) + more + " into it"
            if use.replaced:
                words += ", and what should take over never does"
        else:
            words += "into it"
        yield Finding(
            "GRE003",
            Severity.ERROR if use.prefixes else Severity.WARNING,
            ("tunnels", name, "ends", blind),
            words,
            _hint(scene, name, blind, sending[0]),
        )


def _hint(scene: Scene, name: str, blind: str, sender: str) -> str:
    nodes = scene.network.nodes
    if nodes[blind].platform in SILENT:
        return f"`bfd` on the tunnel instead: {blind} is a pfSense and sends no keepalives"
    own, other = scene.plans[blind].tunnel(name), scene.plans[sender].tunnel(name)
    fate = predict_keepalive(own, other, nodes[sender].platform)
    if fate.outcome is Outcome.DOWN:
        return (
            f"a keepalive of {blind}'s own would not come back ({fate.reasons[0]}): a probe or a "
            "routing protocol at that end"
        )
    bfd = ", or `bfd` on the tunnel" if scene.network.tunnels[name].bgp else ""
    return f"`keepalive` at {blind} too{bfd}"
