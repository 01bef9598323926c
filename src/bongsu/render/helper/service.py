"""The console of a site whose gateway is a service itself, with one connection of it."""

from bongsu.model.node import Platform
from bongsu.plan.cloud.console import SITE_CONSOLES
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.helper.console import Desk
from bongsu.render.helper.values import connection_values, facts

PLACES = {Platform.ALIBABA: "In Alibaba Cloud"}


def service_desk(plan: NodePlan, tunnels: list[VpnTunnelPlan]) -> Desk:
    """The site's console; `tunnels` are all of one connection. KeyError for a site that has none."""
    peers = [peer for peer in plan.cloud_peers if peer.vpn == tunnels[0].vpn]
    return Desk(
        console=SITE_CONSOLES[plan.platform],
        place=PLACES[plan.platform],
        tunnels=tunnels,
        values=connection_values(plan, tunnels, peers),
        facts=facts(tunnels, dynamic=bool(peers)),
        seen=lambda tunnel: tunnel.remote,
        named="far",
    )
