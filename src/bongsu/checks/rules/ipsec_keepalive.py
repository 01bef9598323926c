"""GRE011: IPsec keeps a keepalive's answer from its sender."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.watch import Watch
from bongsu.model.ipsec import Protection
from bongsu.plan.prediction import Secrecy


def check(scene: Scene) -> Iterator[Finding]:
    """Every end that sends keepalives on a tunnel with `ipsec`, against how the far end encrypts."""
    senders: dict[str, set[str]] = {}
    for watch in scene.watches:
        senders.setdefault(watch.tunnel, set()).add(watch.sender)
    for watch in scene.watches:
        path = (*watch.at_far_end, "protection")
        if Secrecy.CLEAR in watch.prediction.reasons:
            yield Finding(
                "GRE011",
                Severity.ERROR,
                path,
                f"{watch.far} encrypts at the tunnel and sends a keepalive back beside it, in the "
                f"clear; the {watch.own.protection.value} of {watch.sender} drops it, and "
                f"{watch.tunnel} is up/down there",
                _ways_out(watch, both=len(senders[watch.tunnel]) == 2),
            )
        elif Secrecy.UNTRIED in watch.prediction.reasons:
            yield Finding(
                "GRE011",
                Severity.INFO,
                path,
                f"{watch.tunnel} has IPsec in transport mode: it is documented for tunnel mode only "
                f"which keepalives come back to {watch.sender}",
                "`mode: tunnel`, or try it before you rely on it",
            )


def _ways_out(watch: Watch, both: bool) -> str:
    """Document 118370's three; the first of them leaves only one end with keepalives."""
    first = f"`protection: crypto-map` at {watch.far}"
    if both:
        first = "`protection: crypto-map` at both ends, or "
        if watch.own.protection is Protection.TUNNEL:
            first += f"at {watch.far} only with `keepalive: false` there"
        else:
            # What the far end sends does come back.
            first += f"`keepalive: false` at {watch.sender}"
    return f"{first}; or no keepalive, and a routing protocol, BFD or a probe (IP SLA) instead"
