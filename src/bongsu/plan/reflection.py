"""Whether an end sends its peer's GRE keepalives back: one prediction for checks, agent and data plane.

A keepalive comes out of the tunnel as an ordinary packet from this end's own source address to the
peer's, and goes home only if this end forwards it as it would any other. What may stop it is in
Cisco's document 118370. The data plane obeys this prediction where it answers in the stack's place.
IPsec is not judged here: what it does to an answer takes both ends.
"""

from enum import StrEnum

from bongsu.model.access import AccessRule
from bongsu.model.base import Address
from bongsu.model.node import Platform
from bongsu.model.tunnel import Dialect
from bongsu.plan.tunnel import TunnelPlan


class Obstacle(StrEnum):
    """Why a keepalive does not go back."""

    PLATFORM = "the platform sends none back"
    MULTIPOINT = "keepalives have no effect on multipoint GRE"
    VRF = "the inside's VRF is not the outside's, and has no way back to the peer"
    RPF = "its source is this end's own address, which reverse path forwarding drops"
    ACCESS = "the inbound access list does not permit it"


def reflects(tunnel: TunnelPlan, platform: Platform = Platform.LINUX) -> bool:
    """Whether this end, on a node of that platform, sends the peer's keepalives back."""
    return not obstacles(tunnel, platform)


def obstacles(tunnel: TunnelPlan, platform: Platform = Platform.LINUX) -> list[Obstacle]:
    """Everything at this end that keeps the peer's keepalives from going back; mostly nothing."""
    found = {
        Obstacle.PLATFORM: platform is Platform.PFSENSE,
        Obstacle.MULTIPOINT: tunnel.multipoint,
        Obstacle.VRF: tunnel.vrf != tunnel.transport_vrf,
        Obstacle.RPF: _refused_by_rpf(tunnel, platform),
        Obstacle.ACCESS: tunnel.inbound is not None and not permitted(tunnel.inbound, tunnel),
    }
    return [obstacle for obstacle, there in found.items() if there]


def keepalive_route(tunnel: TunnelPlan) -> tuple[Address, Address]:
    """Source and destination of the peer's keepalive once it is out of the tunnel at this end."""
    if tunnel.peer_keepalive is not None and tunnel.peer_keepalive.dialect is Dialect.VELOCLOUD:
        # Between the inside addresses.
        return tunnel.inside4() or (tunnel.local, tunnel.remote)
    return tunnel.local, tunnel.remote


def permitted(rules: list[AccessRule], tunnel: TunnelPlan) -> bool:
    """Whether an access list admits the peer's keepalive. What no line matches is denied."""
    source, destination = keepalive_route(tunnel)
    return any(
        rule.permit in ("ip", "gre")
        and (rule.from_ is None or source in rule.from_)
        and (rule.to is None or destination in rule.to)
        for rule in rules
    )


def _refused_by_rpf(tunnel: TunnelPlan, platform: Platform) -> bool:
    if platform is Platform.LINUX:
        # Loose needs any route back, and with accept_local the machine's own address has one.
        return tunnel.rpf == "strict"
    return tunnel.rpf is not None
