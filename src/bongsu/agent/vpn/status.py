"""What is known of the VPN tunnels and the BGP sessions, as JSON values for `bongsu show`."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bongsu.agent.apply import Applier
from bongsu.agent.services.node import NodeServices
from bongsu.agent.vpn.watch import VpnWatch
from bongsu.agent.vpn.watched import Watched
from bongsu.system.daemons.neighbor import BgpNeighbor
from bongsu.system.ipsec.interfaces import mtu_of
from bongsu.system.ipsec.state import IkeSa, carried


class VpnStatus:
    """Answers two requests; changes nothing."""

    def __init__(self, applier: Applier, services: NodeServices, watch: VpnWatch) -> None:
        self._applier = applier
        self._services = services
        self._watch = watch

    async def ask_vpn(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Every tunnel: IKE, ESP, probes, BGP, and the verdict with its reason."""
        bundle = self._applier.bundle
        associations = await asyncio.to_thread(self._services.ipsec.associations)
        tun = self._services.ipsec.user_space
        return {
            "node": bundle.plan.node if bundle else None,
            "backend": self._services.ipsec.way,
            "tunnels": [
                {
                    **_tunnel(one, associations.get(name), tun),
                    "lowered": name in self._watch.preference.weak,
                }
                for name, one in self._watch.watched.items()
            ],
        }

    async def ask_bgp(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Every session."""
        bundle = self._applier.bundle
        plan = bundle.plan if bundle else None
        found: list[BgpNeighbor] = []
        if plan is not None:
            found = await asyncio.to_thread(self._services.neighbors, plan)
        described = {str(peer.address): peer.tunnel for peer in plan.cloud_peers} if plan else {}
        return {
            "node": plan.node if plan else None,
            "daemon": plan.routing.value if plan else None,
            "router_id": str(plan.router_id) if plan else None,
            "asn": plan.asn if plan else None,
            "neighbors": [
                {
                    **asdict(one),
                    "established": one.established,
                    "description": described.get(one.address, one.name),
                }
                for one in found
            ],
        }


def _tunnel(one: Watched, associations: list[IkeSa] | None, user_space: bool) -> dict[str, Any]:
    plan, machine = one.plan, one.machine
    ike, esp = one.association, one.esp
    if associations is not None and ike is not None:
        ike = next((sa for sa in associations if sa.id == ike.id), ike)
        esp = carried(associations)
    cause = machine.cause
    return {
        "name": plan.name,
        "vpn": plan.vpn,
        "far_end": plan.cloud,
        "local": str(plan.local),
        "remote": str(plan.remote),
        "inside": str(plan.inside) if plan.inside else None,
        "peer_inside": str(plan.peer_inside) if plan.peer_inside else None,
        "ike_version": plan.ike_version,
        "mtu": mtu_of(plan, tun=user_space),
        "state": machine.verdict.value,
        "since_s": round(time.monotonic() - one.since, 1),
        "layer": cause.layer.value if cause else None,
        "code": cause.code if cause else None,
        "cause": cause.text if cause else None,
        "last_change": one.last_change,
        "falls": machine.falls,
        "ike": None if ike is None else {k: v for k, v in asdict(ike).items() if k != "esp"},
        "esp": [asdict(sa) for sa in esp],
        "missing": [str(gap) for gap in one.gaps],
        "rekeys": one.rekeys,
        "dpd": None if plan.dpd is None else plan.dpd.model_dump(mode="json"),
        "unanswered": one.diagnosis.unanswered,
        "probe": _probe(one),
        "bgp": None if one.neighbor is None else one.neighbor.state,
    }


def _probe(one: Watched) -> dict[str, Any] | None:
    if one.echo is None or one.plan.probe is None:
        return None
    prober = one.echo.prober
    seen = prober.evidence(time.monotonic_ns())
    return {
        "interval_ms": one.plan.probe.interval_ms,
        "misses": one.plan.probe.misses,
        "sent": prober.sent,
        "answered": prober.answered,
        "unanswered": seen.unanswered,
        "loss": round(seen.loss, 4),
        "rtt_ms": None if prober.last_ns is None else round(prober.last_ns / 1e6, 3),
    }
