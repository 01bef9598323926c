"""NodePlan -> bgpd's part: the sessions inside IPsec tunnels, their filters, what is originated.

Defaults are left out: a default that is written makes a reload take it away and put it back, and
with it the session.
"""

from ipaddress import IPv4Address

from bongsu.model.base import Prefix
from bongsu.model.tunnel import Bfd
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, shares
from bongsu.render.frr.words import STEP, Section, list_name, prefix_list
from bongsu.render.secret import marker
from bongsu.render.text import address, number

CONNECT_RETRY_S = 2
"""FRR waits two minutes between its calls; at the end of a tunnel that spares nobody anything."""

KEEPALIVE_S, HOLD_S = 60, 180
"""FRR's own timers (`frr defaults traditional`), which are not written."""

FAMILIES = {4: "ipv4", 6: "ipv6"}


def bgp(plan: NodePlan) -> list[Section]:
    """The lists, the maps and `router bgp`; nothing for a node without sessions."""
    if not plan.cloud_peers:
        return []
    # Everything stands before it is named: FRR complains otherwise.
    return [*_lists(plan), *_maps(plan), _router(plan)]


def bfd_profiles(plan: NodePlan) -> Section:
    """bfdd's part: a profile for each pair of timers. Empty without BFD."""
    found = dict.fromkeys(peer.bfd for peer in plan.cloud_peers if peer.bfd is not None)
    if not found:
        return []
    lines = ["bfd"]
    for bfd in found:
        lines.append(f" profile {profile(bfd)}")
        if bfd.multiplier != 3:
            lines.append(f"  detect-multiplier {number(bfd.multiplier)}")
        if bfd.interval_ms != 300:
            lines.append(f"  transmit-interval {number(bfd.interval_ms)}")
            lines.append(f"  receive-interval {number(bfd.interval_ms)}")
        lines += [" exit", " !"]
    return [*lines, "exit"]


def profile(bfd: Bfd) -> str:
    """Name of the profile with these timers."""
    return f"bongsu-{number(bfd.interval_ms)}x{number(bfd.multiplier)}"


def originated(plan: NodePlan, family: int) -> list[Prefix]:
    """What bgpd takes from nowhere but this file: all that is announced, less what a session brings.

    A prefix that one cloud is told of and another one tells us is passed on; originated here, it
    would hide what was learned, and the packets with it.
    """
    announced = dict.fromkeys(
        prefix
        for peer in plan.cloud_peers
        for prefix in peer.announced()
        if prefix.version == family
    )
    learned = {prefix for peer in plan.cloud_peers for prefix in peer.accept or []}
    return [prefix for prefix in announced if prefix not in learned]


def _router(plan: NodePlan) -> Section:
    lines = [f"router bgp {number(plan.asn)}", f" bgp router-id {address(_router_id(plan))}"]
    lines.append(" bgp log-neighbor-changes")
    if _needs_no_route(plan):
        lines.append(" no bgp network import-check")
    for peer in plan.cloud_peers:
        lines += _neighbor(peer)
    for family in sorted({peer.address.version for peer in plan.cloud_peers}):
        lines += [" !", *_family(plan, family)]
    return [*lines, "exit"]


def _neighbor(peer: CloudPeer) -> Section:
    start = f" neighbor {address(peer.address)}"
    lines = [f"{start} remote-as {number(peer.asn)}"]
    lines.append(f"{start} description {peer.vpn} {peer.tunnel}")
    if peer.bfd is not None:
        lines += [f"{start} bfd", f"{start} bfd profile {profile(peer.bfd)}"]
    if peer.password is not None:
        lines.append(f"{start} password {marker(peer.password)}")
    if peer.multihop is not None:
        lines.append(f"{start} ebgp-multihop {number(peer.multihop)}")
    lines.append(f"{start} update-source {address(peer.local)}")
    if (peer.keepalive_s, peer.hold_s) != (KEEPALIVE_S, HOLD_S):
        lines.append(f"{start} timers {number(peer.keepalive_s)} {number(peer.hold_s)}")
    lines.append(f"{start} timers connect {CONNECT_RETRY_S}")
    return lines


def _family(plan: NodePlan, family: int) -> Section:
    own = [peer for peer in plan.cloud_peers if peer.address.version == family]
    others = [peer for peer in plan.cloud_peers if peer.address.version != family]
    lines = [f" address-family {FAMILIES[family]} unicast"]
    lines += [f"  network {address(prefix)}" for prefix in originated(plan, family)]
    if family == 4:
        # Every neighbor speaks IPv4 unless told otherwise.
        lines += [f"  no neighbor {address(peer.address)} activate" for peer in others]
    for peer in own:
        start = f"  neighbor {address(peer.address)}"
        if family == 6:
            lines.append(f"{start} activate")
        if peer.next_hop_self:
            lines.append(f"{start} next-hop-self")
        if peer.soft_reconfiguration:
            lines.append(f"{start} soft-reconfiguration inbound")
        if peer.max_prefixes is not None:
            lines.append(f"{start} maximum-prefix {number(peer.max_prefixes)}")
        lines.append(f"{start} route-map {list_name(peer, 'IN')} in")
        lines.append(f"{start} route-map {list_name(peer, 'OUT')} out")
    if len(own) > 1:
        lines.append(f"  maximum-paths {shares(own)}")
    return [*lines, " exit-address-family"]


def _lists(plan: NodePlan) -> list[Section]:
    found = []
    for peer in plan.cloud_peers:
        family = peer.address.version
        lines = prefix_list(list_name(peer, "IN"), family, peer.accepted(), longer=True)
        outward = peer.announced() + peer.taking_over()
        lines += prefix_list(list_name(peer, "OUT"), family, outward, longer=False)
        found.append(lines)
    return found


def _maps(plan: NodePlan) -> list[Section]:
    found = []
    for peer in plan.cloud_peers:
        word = "ip" if peer.address.version == 4 else "ipv6"
        inward, outward = list_name(peer, "IN"), list_name(peer, "OUT")
        lines = [f"route-map {inward} permit {STEP}"]
        lines.append(f" match {word} address prefix-list {inward}")
        lines.append(f" set local-preference {number(peer.preference)}")
        found.append([*lines, "exit"])
        lines = [f"route-map {outward} permit {STEP}"]
        lines.append(f" match {word} address prefix-list {outward}")
        if peer.prepend:
            lines.append(" set as-path prepend " + " ".join([number(plan.asn)] * peer.prepend))
        found.append([*lines, "exit"])
    return found


def _needs_no_route(plan: NodePlan) -> bool:
    """Whether something is announced that this machine has no route of exactly that length to."""
    routed = {own.network for item in plan.interfaces for own in item.addresses}
    routed |= {route.prefix for route in plan.routes}
    announced = [prefix for family in (4, 6) for prefix in originated(plan, family)]
    announced += [prefix for peer in plan.cloud_peers for prefix in peer.taking_over()]
    return any(prefix not in routed for prefix in announced)


def _router_id(plan: NodePlan) -> IPv4Address:
    own = plan.router_id
    # The last 32 bits of an IPv6 address (RFC 6286 asks for no more than uniqueness in the AS).
    return own if isinstance(own, IPv4Address) else IPv4Address(int(own) & 0xFFFFFFFF)
