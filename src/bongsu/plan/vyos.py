"""What VyOS 1.4 and 1.5 cannot be made to do, as far as a plan may ask for it, or what is not
rendered for them: a router with the VPNs of a site, their BGP and static routes.

Judged in one place: a check tells it with its line in the file, and the renderer refuses.
"""

from collections.abc import Iterator

from bongsu.model.node import Role
from bongsu.model.proposal import suite
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.vpn import CloudPeer, VpnTunnelPlan
from bongsu.plan.vyos_names import interface_path, is_loopback

CIPHERS = {
    "null": "null", "aes128": "aes128", "aes192": "aes192", "aes256": "aes256", "3des": "3des",
    "aes128ctr": "aes128ctr", "aes256ctr": "aes256ctr",
    "aes128gcm8": "aes128gcm64", "aes128gcm12": "aes128gcm96", "aes128gcm16": "aes128gcm128",
    "aes192gcm16": "aes192gcm128",
    "aes256gcm8": "aes256gcm64", "aes256gcm12": "aes256gcm96", "aes256gcm16": "aes256gcm128",
    "chacha20poly1305": "chacha20poly1305",
}  # fmt: skip
"""VyOS counts a check value in bits."""
LIFETIME_LIMIT_S = 86400
DPD_LEAST_S = 2
BFD_LEAST_MS = 10


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that VyOS cannot carry out; the plan's own platform does not matter."""
    yield from _node(plan)
    yield from _interfaces(plan)
    ends: dict[tuple[object, object], str] = {}
    for tunnel in plan.vpns:
        yield from _way(tunnel)
        yield from _algorithms(tunnel)
        yield from _liveness(tunnel)
        first = ends.setdefault((tunnel.local, tunnel.remote), tunnel.name)
        if first != tunnel.name:
            yield Refusal(
                ("vpns", tunnel.vpn, "tunnels", tunnel.name, "headend"),
                f"{first} and {tunnel.name} have the same two ends, whose key VyOS could not tell "
                "apart",
                "take another headend",
            )
    for peer in plan.cloud_peers:
        yield from _session(peer)


def _node(plan: NodePlan) -> Iterator[Refusal]:
    path = ("nodes", plan.node)
    if plan.role is not Role.ROUTER:
        yield Refusal(
            (*path, "role"),
            f"a VyOS node is rendered as a router only, and {plan.node} is a {plan.role.value}",
            "make it `role: router`, or take a Linux node",
        )
    if plan.external:
        yield Refusal(
            (*path, "bgp", "neighbors"),
            "no BGP but that with a cloud is rendered for VyOS",
            "have the neighbor at a Linux PoP",
        )
    if plan.policies:
        yield Refusal(
            (*path, "policies"),
            "no policies are rendered for VyOS",
            "set them up there by hand (`set policy route`), and take them out here",
        )
    for tunnel in plan.tunnels:
        yield Refusal(
            ("tunnels", tunnel.name, "ends", plan.node),
            "no GRE is rendered for VyOS",
            "end the tunnel at a Linux node",
        )
    for index, route in enumerate(plan.routes):
        if route.hop.gateway is None or route.hop.gateway.version != route.prefix.version:
            yield Refusal(
                (*path, "routes", index, "via"),
                f"VyOS is given a router's IPv{route.prefix.version} address here",
                "write the next router's address",
            )


def _interfaces(plan: NodePlan) -> Iterator[Refusal]:
    for item in plan.interfaces:
        path = ("nodes", plan.node, "interfaces", item.name)
        if interface_path(item.name) is None:
            yield Refusal(
                path,
                f"VyOS has no interface {item.name}",
                "write eth0, eth0.100, bond0, br0, dum0 or lo, as VyOS calls it",
            )
        elif (item.role == "loopback") != is_loopback(item.name):
            yield Refusal(
                path,
                f"{item.name} cannot have the role {item.role}",
                "a loopback is lo or dum0, dum1, ... and nothing else is",
            )
        if item.vrf is not None:
            yield Refusal(
                (*path, "vrf"),
                f"VRFs are not rendered for VyOS, and {item.name} is to be in {item.vrf}",
                "take `vrf` out",
            )


def _way(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    """How packets come to the tunnel, who calls, and how the ends know each other."""
    path = ("vpns", tunnel.vpn)
    everything = not any(p.prefixlen for p in [*tunnel.local_selectors, *tunnel.remote_selectors])
    if tunnel.binding is not Binding.POLICY:
        if not everything:
            yield Refusal(
                (*path, "selectors"),
                "a VTI of VyOS 1.4 has selectors for everything",
                "take `selectors: any`, and let routes and filters decide",
            )
        if tunnel.inside is None:
            yield Refusal(
                (*path, "tunnels", tunnel.name),
                "a VTI of VyOS needs an inside address",
                "add `inside: 169.254.10.1/30`, or take `binding: policy`",
            )
    elif everything:
        yield Refusal(
            (*path, "selectors"),
            "with policies, selectors for everything would take the router off the net",
            "take `selectors: networks`",
        )
    if tunnel.start == "on-demand":
        yield Refusal(
            (*path, "start"),
            "VyOS 1.4 and 1.5 have different words for calling on demand, and none is rendered",
            "take `start: initiate` or `start: respond`",
        )
    if tunnel.certificate is not None:
        yield Refusal(
            (*path, "certificate"),
            "certificates are not rendered for VyOS",
            "take pre-shared keys (`psk`)",
        )


def _algorithms(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    path = ("vpns", tunnel.vpn)
    for phase, texts in (("ike", tunnel.ike_proposals), ("esp", tunnel.esp_proposals)):
        for text in texts:
            if suite(text).encryption not in CIPHERS:
                yield Refusal(
                    (*path, phase, "proposals"),
                    f"VyOS has no {text}",
                    "take one such as aes256-sha256-modp2048",
                )
    if len({suite(text).group for text in tunnel.esp_proposals}) > 1:
        yield Refusal(
            (*path, "esp", "proposals"),
            "VyOS has one group of perfect forward secrecy for all proposals of a tunnel",
            "give all of them the same group",
        )
    for phase, lifetime in (("ike", tunnel.ike_lifetime_s), ("esp", tunnel.esp_lifetime_s)):
        if lifetime > LIFETIME_LIMIT_S:
            yield Refusal(
                (*path, phase, "lifetime_s"),
                f"VyOS takes lifetimes to {LIFETIME_LIMIT_S} s, not {lifetime}",
                f"set it to {LIFETIME_LIMIT_S} or less",
            )


def _liveness(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    if tunnel.probe is not None:
        yield Refusal(
            ("vpns", tunnel.vpn, "probe"),
            "it is bongsu's agent that sends echoes through a tunnel, and none runs on a VyOS",
            "take `probe` out, and set shorter BGP timers or `bfd`",
        )
    if tunnel.dpd is not None and tunnel.dpd.delay_s < DPD_LEAST_S:
        yield Refusal(
            ("vpns", tunnel.vpn, "dpd", "delay_s"),
            f"VyOS asks a peer every {DPD_LEAST_S} s at most, not every {tunnel.dpd.delay_s}",
            f"set `delay_s` to {DPD_LEAST_S} or more",
        )


def _session(peer: CloudPeer) -> Iterator[Refusal]:
    path = ("vpns", peer.vpn, "bgp")
    family = peer.address.version
    if any(prefix.version != family for prefix in [*peer.announce, *(peer.accept or [])]):
        yield Refusal(
            path,
            f"a session between IPv{family} addresses is rendered with IPv{family} prefixes only",
            "take the others out of `announce` and `accept`",
        )
    if peer.bfd is not None and peer.bfd.interval_ms < BFD_LEAST_MS:
        yield Refusal(
            (*path, "bfd", "interval_ms"),
            f"VyOS takes BFD intervals from {BFD_LEAST_MS} ms, not {peer.bfd.interval_ms}",
            f"set it to {BFD_LEAST_MS} or more",
        )
