"""What a VPN Gateway of Alibaba Cloud cannot be made to do, as a site of ours.

It is a service: nothing of it is a file, and all that it takes is in the forms of its console. Judged
in one place: a check tells it with its line in the file, and the renderer refuses. Source: the API
reference, CreateVpnConnection; Create and manage IPsec-VPN connections in dual-tunnel mode.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network

from bongsu.model.node import Role
from bongsu.model.proposal import suite
from bongsu.model.vpn import Profile
from bongsu.plan.cloud import PROFILES, Accepted
from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan

MOST_TUNNELS = 2
"""Of a connection: an active one and a standby."""
_GATEWAY = PROFILES[Profile.ALIBABA]


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that the gateway cannot carry out; the plan's own platform does not matter."""
    yield from _node(plan)
    of_vpn: dict[str, list[VpnTunnelPlan]] = {}
    for tunnel in plan.vpns:
        of_vpn.setdefault(tunnel.vpn, []).append(tunnel)
        yield from _way(tunnel)
        yield from _algorithms(tunnel)
    for name, tunnels in of_vpn.items():
        if len(tunnels) > MOST_TUNNELS:
            yield Refusal(
                ("vpns", name, "tunnels"),
                f"a connection of Alibaba's VPN Gateway has {MOST_TUNNELS} tunnels, not {len(tunnels)}",
                "another connection for the others",
            )
        if len({tunnel.rank for tunnel in tunnels}) < len(tunnels):
            yield Refusal(
                ("vpns", name, "balance"),
                "of a connection's two tunnels Alibaba's VPN Gateway uses one, and the other if it fails",
                "take `balance: active-standby`",
            )
    for peer in plan.cloud_peers:
        yield from _session(peer)


def _node(plan: NodePlan) -> Iterator[Refusal]:
    at = ("nodes", plan.node)
    if plan.role is not Role.ROUTER:
        yield Refusal(
            (*at, "role"), "Alibaba's VPN Gateway announces no prefixes", "take `role: router`"
        )
    for tunnel in plan.tunnels:
        yield Refusal(
            ("tunnels", tunnel.name, "ends", plan.node),
            "Alibaba's VPN Gateway has IPsec and no GRE",
            "end the tunnel at a machine behind it",
        )
    for kind, items in (
        ("bgp", plan.external), ("routes", plan.routes), ("policies", plan.policies),
    ):  # fmt: skip
        if items:
            yield Refusal(
                (*at, kind),
                f"`{kind}` of a node are not what Alibaba's VPN Gateway has a form for",
                "leave them out, and use the VPC's route table",
            )
    if plan.relay is not None:
        yield Refusal(
            at, "Alibaba's VPN Gateway carries no accelerator", "take a Linux node as the PoP"
        )


def _way(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    path = ("vpns", tunnel.vpn)
    here = (*path, "tunnels", tunnel.name)
    if tunnel.certificate is not None:
        yield Refusal(
            (*path, "certificate"),
            "certificates are not rendered for Alibaba's VPN Gateway",
            "take pre-shared keys (`psk`)",
        )
    if tunnel.start != "initiate":
        yield Refusal(
            (*path, "start"),
            "Alibaba's VPN Gateway calls at once and for ever",
            "take `start: initiate`",
        )
    if tunnel.probe is not None:
        yield Refusal(
            (*path, "probe"),
            "it is bongsu's agent that sends echoes through a tunnel, and none runs in a service",
            "take `probe` out",
        )
    networks = [*tunnel.local_networks, *tunnel.remote_networks]
    if tunnel.remote.version == 6 or any(prefix.version == 6 for prefix in networks):
        yield Refusal(
            here, "Alibaba's VPN Gateway is rendered with IPv4 only", "take IPv4 on both sides"
        )


def _algorithms(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    path = ("vpns", tunnel.vpn)
    phases: tuple[tuple[str, list[str], Accepted, int, tuple[int, int] | None], ...] = (
        ("ike", tunnel.ike_proposals, _GATEWAY.ike, tunnel.ike_lifetime_s, _GATEWAY.ike_lifetimes_s),
        ("esp", tunnel.esp_proposals, _GATEWAY.esp, tunnel.esp_lifetime_s, _GATEWAY.esp_lifetimes_s),
    )  # fmt: skip
    for phase, proposals, accepted, lifetime, bounds in phases:
        if len(proposals) > 1:
            yield Refusal(
                (*path, phase, "proposals"),
                "a form of Alibaba's VPN Gateway has room for one algorithm of each kind",
                "one proposal that both gateways take",
            )
        for text in proposals:
            if refused := accepted.refuses(suite(text)):
                yield Refusal(
                    (*path, phase, "proposals"),
                    f"Alibaba's VPN Gateway has no {', '.join(refused)}",
                    "one that both gateways take, such as aes256-sha256-modp2048",
                )
        if bounds is not None and not bounds[0] <= lifetime <= bounds[1]:
            yield Refusal(
                (*path, phase, "lifetime_s"),
                f"Alibaba's VPN Gateway takes {bounds[1]} s at most, not {lifetime}",
                "the shorter one at both ends",
            )


def _session(peer: CloudPeer) -> Iterator[Refusal]:
    path = ("vpns", peer.vpn, "bgp")
    for key, said in (
        ("password", peer.password is not None),
        ("bfd", peer.bfd is not None),
        ("deaggregate_on_failure", bool(peer.more_specifics)),
    ):
        if said:
            yield Refusal(
                (*path, key), f"BGP of Alibaba's VPN Gateway has no `{key}`", "leave it out"
            )
    inside = IPv4Network("169.254.0.0/16")
    if peer.local.version == 6 or peer.local not in inside:
        yield Refusal(
            ("vpns", peer.vpn, "tunnels", peer.tunnel, "inside"),
            f"for BGP Alibaba's VPN Gateway has its inside addresses in {inside}, /30",
            "such as `inside: 169.254.10.2/30`",
        )
