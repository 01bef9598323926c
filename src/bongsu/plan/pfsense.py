"""What pfSense 2.5.2 to 2.7 cannot be made to do, as far as a plan may ask for it.

Judged in one place: a check tells it with its line in the file, and the renderer refuses.
"""

import re
from collections.abc import Iterator

from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.tunnel import TunnelPlan

INTERFACE = re.compile(r"wan|lan|opt[0-9]{1,3}")
"""Interfaces by the names config.xml has for them, whatever their description says."""


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that pfSense cannot carry out; the plan's own platform does not matter."""
    for item in plan.interfaces:
        if not INTERFACE.fullmatch(item.name):
            yield Refusal(
                ("nodes", plan.node, "interfaces", item.name),
                f"pfSense has no interface {item.name}",
                "use its own names: wan, lan, opt1, opt2, ...",
            )
        if item.vrf is not None:
            yield Refusal(
                ("nodes", plan.node, "interfaces", item.name, "vrf"),
                f"pfSense has no VRFs, and {item.name} is to be in {item.vrf}",
                "take `vrf` out",
            )
    for tunnel in plan.tunnels:
        yield from _tunnel(plan.node, tunnel)
        yield from _not_rendered(plan.node, tunnel)
    for field, what in (("routes", plan.routes), ("policies", plan.policies)):
        if what:
            yield Refusal(
                ("nodes", plan.node, field),
                f"no {field} are rendered for a pfSense",
                "set them up there by hand, and take them out here",
            )
    for vpn in dict.fromkeys(tunnel.vpn for tunnel in plan.vpns):
        yield Refusal(
            ("vpns", vpn),
            f"no VPN is rendered for a pfSense, and {vpn} ends at {plan.node}",
            "set it up there by hand, or take a Linux node",
        )
    if plan.announcements:
        yield Refusal(
            ("nodes", plan.node, "announce"),
            "a pfSense can be a home only, and announces nothing",
            "announce from a Linux PoP",
        )
    if plan.external:
        yield Refusal(
            ("nodes", plan.node, "bgp", "neighbors"),
            "a pfSense can be a home only, and has no external BGP neighbor",
            "have the neighbor at a Linux PoP",
        )


def _tunnel(node: str, tunnel: TunnelPlan) -> Iterator[Refusal]:
    if tunnel.key is not None:
        yield Refusal(
            ("tunnels", tunnel.name, "key"),
            f"the GRE of pfSense has no key, and {tunnel.name} has {tunnel.key}",
            "take `key` out",
        )
    off = "set `keepalive: false` at both ends"
    if tunnel.keepalive is not None:
        yield Refusal(
            ("tunnels", tunnel.name, "ends", node),
            f"pfSense sends no GRE keepalive on {tunnel.name}",
            off,
        )
    if tunnel.peer_keepalive is not None:
        yield Refusal(
            ("tunnels", tunnel.name, "ends", tunnel.peer),
            f"pfSense sends no GRE keepalive back, so {tunnel.peer} would call {tunnel.name} dead",
            off,
        )


def _not_rendered(node: str, tunnel: TunnelPlan) -> Iterator[Refusal]:
    """What an end of a tunnel may say and a pfSense is not given."""
    end = ("tunnels", tunnel.name, "ends", node)
    places: dict[str, tuple[tuple[str, ...], bool]] = {
        "ipsec": (("tunnels", tunnel.name, "ipsec"), tunnel.ipsec is not None),
        "multipoint": (("tunnels", tunnel.name, "multipoint"), tunnel.multipoint),
        "rpf": ((*end, "rpf"), tunnel.rpf is not None),
        "inbound": ((*end, "inbound"), tunnel.inbound is not None),
        "vrf": ((*end, "vrf"), tunnel.vrf is not None),
    }
    for field, (path, asked) in places.items():
        if asked:
            yield Refusal(
                path,
                f"`{field}` of {tunnel.name} is not rendered for a pfSense",
                "set it up there by hand, and take it out here",
            )
