"""An end of a tunnel that sends keepalives, with all that decides what becomes of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bongsu.checks.finding import Path
from bongsu.model.network import Network
from bongsu.model.node import Platform
from bongsu.model.tunnel import Keepalive
from bongsu.plan.node import NodePlan
from bongsu.plan.prediction import Prediction, predict_keepalive
from bongsu.plan.tunnel import TunnelPlan

SILENT = (Platform.PFSENSE,)
"""Platforms that send no GRE keepalives, whatever the file says; PFS001 says so."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Keepalives from one end of a tunnel to the other."""

    tunnel: str
    sender: str
    """Node that sends them."""
    far: str
    """Node that has to send them back."""
    keepalive: Keepalive
    path: Path
    """Where the file says so."""
    own: TunnelPlan
    other: TunnelPlan
    """The far end's."""
    platform: Platform
    """Of the sender."""
    far_platform: Platform
    prediction: Prediction

    @property
    def detection_ms(self) -> int:
        """Interval times retries: from the first request without an answer until the line is down."""
        return self.keepalive.interval_ns * self.keepalive.retries // 1_000_000

    @property
    def at_far_end(self) -> Path:
        """The far end's place in the file."""
        return "tunnels", self.tunnel, "ends", self.far


def duration(milliseconds: float) -> str:
    """`90 ms`, `3 s`, `1.5 s`: as people write it."""
    if milliseconds < 1000:
        return f"{milliseconds:.4g} ms"
    return f"{milliseconds / 1000:.6g} s"


def watches(network: Network, plans: Mapping[str, NodePlan]) -> Iterator[Watch]:
    """Every end that sends, in the file's order; also those on multipoint GRE, where it is in vain."""
    ends = {(node, tunnel.name): tunnel for node, plan in plans.items() for tunnel in plan.tunnels}
    for name, tunnel in network.tunnels.items():
        for sender, end in tunnel.ends.items():
            keepalive = tunnel.keepalive if end.keepalive is None else end.keepalive
            platform = network.nodes[sender].platform
            if not keepalive or platform in SILENT:
                continue
            far = next(node for node in tunnel.ends if node != sender)
            far_platform = network.nodes[far].platform
            own, other = ends[sender, name], ends[far, name]
            path: Path = ("tunnels", name, "keepalive")
            if end.keepalive is not None:
                path = ("tunnels", name, "ends", sender, "keepalive")
            prediction = predict_keepalive(own, other, far_platform)
            yield Watch(
                name, sender, far, keepalive, path, own, other, platform, far_platform, prediction
            )
