"""Renders /etc/bird/bird.conf. Never contains a secret: see bongsu.render.bird.secrets."""

from pathlib import Path

from bongsu.model.node import RoutingDaemon
from bongsu.plan.node import NodePlan
from bongsu.render import template, text
from bongsu.render.bird.cloud import takeover_protocol, weak_protocol
from bongsu.render.bird.secrets import SECRETS_PATH, password_constant, secret_constants
from bongsu.render.bird.support import (
    EXTERNAL_DISTANCE,
    INTERNAL_DISTANCE,
    LAST_PREFERENCE,
    SPOKEN_PREFERENCE,
    TAKEOVER,
    preference_of,
)
from bongsu.render.bird.view import NextHop, bfd_groups, families, router_id, session_pairs
from bongsu.render.template import Admitted

PATH = "/etc/bird/bird.conf"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}`; BIRD's own parser accepts it together with the secrets' file.

    Nothing for a node that routes with another daemon.
    """
    if plan.routing is not RoutingDaemon.BIRD:
        return {}
    views = families(plan)
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "router_id": router_id(plan.router_id),
        "families": views,
        "bfd_groups": bfd_groups(plan),
        "session_pairs": session_pairs,
        "via": _via,
        "with_longer": lambda prefixes: [Admitted(f"{text.address(p)}+") for p in prefixes],
        "uses_bfd": _uses_bfd(plan),
        "secrets_path": Admitted(SECRETS_PATH) if secret_constants(plan) else None,
        "password_constant": lambda peer: Admitted(password_constant(peer)),
        "last_preference": LAST_PREFERENCE,
        "spoken_preference": SPOKEN_PREFERENCE,
        "external_preference": preference_of(EXTERNAL_DISTANCE),
        "internal_preference": preference_of(INTERNAL_DISTANCE),
        "takeover_protocol": lambda family, vpn: Admitted(takeover_protocol(family, vpn)),
        "weak_protocol": lambda peer: Admitted(weak_protocol(peer)),
        "takeover": Admitted(f"({plan.asn}, {TAKEOVER[0]}, {TAKEOVER[1]})"),
    }
    return {PATH: template.load(Path(__file__).parent, "bird.conf.j2").render(values)}


def _uses_bfd(plan: NodePlan) -> bool:
    timers = [tunnel.bfd for tunnel in plan.tunnels]
    timers += [peer.bfd for peer in plan.external]
    timers += [peer.bfd for peer in plan.cloud_peers]
    return any(timers)


def _via(hop: NextHop) -> Admitted:
    """A next hop of a static route; the interface is BIRD's quoted symbol after the gateway."""
    if hop.interface is None:
        assert hop.gateway is not None
        return Admitted(text.address(hop.gateway))
    interface = text.interface(hop.interface)
    if hop.gateway is None:
        return Admitted(f'"{interface}"')
    return Admitted(f"{text.address(hop.gateway)}%'{interface}'{' bfd' if hop.bfd else ''}")
