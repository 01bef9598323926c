"""What is known of a tunnel as the evidence of its link machine."""

import time

from bongsu.agent.vpn.watched import Watched
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.protocol.link import Bgp, Evidence, Probe, Verdict
from bongsu.system.ipsec.state import IkeState


def evidence(
    one: Watched, plan: NodePlan, *, daemon: bool, underlay: str, interface: bool, dormant: bool
) -> Evidence:
    """One look.

    daemon: it answers. underlay: why nothing can leave, or "". interface: the tunnel's is there.
    dormant: probes pass while the tunnel is closed to routing.
    """
    state = one.association.state if one.association is not None else IkeState.NONE
    return Evidence(
        underlay=underlay,
        daemon=daemon,
        ike=state.value,
        esp=bool(one.esp),
        missing=tuple(str(gap) for gap in one.gaps) if one.esp else (),
        unanswered=one.diagnosis.unanswered,
        reason=one.diagnosis.reason,
        probe=probe(one, dormant=dormant),
        bgp=_bgp(one, plan),
        interface=interface or one.plan.binding is Binding.POLICY,
    )


def probe(one: Watched, *, dormant: bool) -> Probe | None:
    """What the echoes say; None where none are sent, or what they say does not count."""
    if one.echo is None:
        return None
    if one.machine.verdict is not Verdict.DOWN or dormant:
        return one.echo.prober.evidence(time.monotonic_ns())
    if one.machine.cause is not None and one.machine.cause.code == "probe":
        # Closed, the interface sends no probe. Once the far end is heard it is tried again;
        # if nothing comes through all the same, it falls again, and for longer.
        if one.heard_ns <= one.fell_ns:
            misses = one.echo.prober.misses
            return Probe(misses, misses, True)
        one.echo.begin()
    return None


def _bgp(one: Watched, plan: NodePlan) -> Bgp | None:
    if not any(peer.tunnel == one.plan.name for peer in plan.cloud_peers):
        return None
    return Bgp(one.neighbor.state, one.neighbor.received) if one.neighbor else Bgp("not there")
