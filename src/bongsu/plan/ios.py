"""What Cisco IOS and IOS XE cannot be made to do, as far as a plan may ask for it, or what is not
rendered for them.

Judged in one place: a check tells it with its line in the file, and the renderer refuses.
"""

from collections.abc import Iterator
from itertools import groupby

from bongsu.model.base import Address, Family
from bongsu.model.ipsec import Protection
from bongsu.model.node import Role
from bongsu.model.tunnel import Dialect, Keepalive
from bongsu.plan.ios_names import interface_name, is_loopback
from bongsu.plan.ios_vpn import vpn_refusals
from bongsu.plan.node import Hop, NodePlan, PolicyPlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.tunnel import TunnelPlan

IPV6_MTU = 1280
"""The least MTU of a link that carries IPv6 (RFC 8200 section 5)."""


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan that IOS cannot carry out; the plan's own platform does not matter."""
    yield from _node(plan)
    yield from _interfaces(plan)
    for tunnel in plan.tunnels:
        yield from _tunnel(plan.node, tunnel)
    yield from _together(plan)
    yield from _routing(plan)
    yield from vpn_refusals(plan)


def policy_families(plan: NodePlan, policy: PolicyPlan) -> list[Family]:
    """The families that a policy is about: by what it matches, else by what all its hops can carry."""
    for prefix in (policy.source, policy.destination):
        if prefix is not None:
            return [prefix.version]
    return [
        family for family in _FAMILIES if all(hop_address(plan, hop, family) for hop in policy.hops)
    ]


def hop_address(plan: NodePlan, hop: Hop, family: Family) -> Address | None:
    """The next router of that family: the gateway, or the inside address of a tunnel's peer."""
    if hop.tunnel is None:
        return hop.gateway if hop.gateway is not None and hop.gateway.version == family else None
    peers = plan.tunnel(hop.tunnel).peer_addresses
    return next((peer for peer in peers if peer.version == family), None)


_FAMILIES: tuple[Family, ...] = (4, 6)


def _node(plan: NodePlan) -> Iterator[Refusal]:
    if plan.role is not Role.ROUTER:
        yield Refusal(
            ("nodes", plan.node, "role"),
            f"an IOS node is rendered as a router only, and {plan.node} is a {plan.role.value}",
            "make it `role: router` with `routes` and `policies`, or take a Linux node",
        )
    if plan.external:
        yield Refusal(
            ("nodes", plan.node, "bgp", "neighbors"),
            "no BGP but that with a cloud is rendered for IOS",
            "have the neighbor at a Linux PoP",
        )


def _interfaces(plan: NodePlan) -> Iterator[Refusal]:
    seen: dict[str, str] = {}
    for item in plan.interfaces:
        path = ("nodes", plan.node, "interfaces", item.name)
        name = interface_name(item.name)
        if name is None:
            yield Refusal(
                path,
                f"IOS has no interface {item.name}",
                "write GigabitEthernet0/0/1.100 as gi0-0-1.100, and likewise te, fa, eth, po, "
                "vlan, se, lo",
            )
            continue
        if name in seen:
            yield Refusal(path, f"{seen[name]} and {item.name} are both {name}", "keep one of them")
        seen[name] = item.name
        if (item.role == "loopback") != is_loopback(item.name):
            yield Refusal(
                path,
                f"{name} cannot have the role {item.role}",
                "a loopback is named lo0, lo1, ... and nothing else is",
            )


def _tunnel(node: str, tunnel: TunnelPlan) -> Iterator[Refusal]:
    path = ("tunnels", tunnel.name)
    end = (*path, "ends", node)
    if tunnel.bgp:
        yield Refusal((*path, "bgp"), "no BGP is rendered for IOS", "set `bgp: false`")
    if tunnel.bfd is not None:
        yield Refusal(
            (*path, "bfd"),
            "Cisco documents BFD on tunnels for DMVPN only, and none is rendered for IOS",
            "use `keepalive` on this tunnel",
        )
    if tunnel.keepalive is not None:
        for reason, remedy in _keepalive(tunnel, tunnel.keepalive):
            yield Refusal(end, reason, remedy)
    inside6 = any(address.version == 6 for address in tunnel.addresses)
    if inside6 and tunnel.mtu < IPV6_MTU:
        yield Refusal(
            (*path, "mtu"),
            f"IPv6 needs an MTU of {IPV6_MTU} or more, and {tunnel.name} has {tunnel.mtu}",
            "raise it, or take the IPv6 addresses out",
        )
    if tunnel.multipoint and (inside6 or tunnel.local.version == 6):
        yield Refusal(
            (*path, "multipoint"),
            "multipoint GRE is rendered for IPv4 only",
            "take `multipoint` or the IPv6 addresses out",
        )
    if tunnel.ipsec and tunnel.protection is Protection.MAP and tunnel.local.version == 6:
        yield Refusal(
            (*end, "protection"),
            "IOS has crypto maps for IPv4 only",
            "use `protection: tunnel-protection` here",
        )


def _keepalive(tunnel: TunnelPlan, keepalive: Keepalive) -> Iterator[tuple[str, str]]:
    """What an IOS that sends cannot do. As the end that sends back it minds none of this."""
    if tunnel.local.version == 6:
        yield (
            f"IOS sends no keepalive over IPv6, and {tunnel.name} runs over it",
            "set `keepalive: false` at this end",
        )
    if keepalive.milliseconds is not None:
        yield (
            f"IOS counts a keepalive's interval in seconds, not {keepalive.milliseconds} ms",
            "set `keepalive: {seconds: 1}` or more at this end",
        )
    if keepalive.nonce:
        yield (
            "IOS sends keepalives without a nonce",
            "set `keepalive` without `nonce` at this end; the other may keep it",
        )
    if keepalive.up_after != 1:
        yield (
            f"IOS takes the line up with the first reply, not after {keepalive.up_after}",
            "set `keepalive` without `up_after` at this end",
        )
    if keepalive.dialect is not Dialect.CISCO:
        yield (
            f"IOS writes keepalives in its own way, not as {keepalive.dialect.value} does",
            "set `keepalive` without `dialect` at this end",
        )


def _together(plan: NodePlan) -> Iterator[Refusal]:
    """What two tunnels cannot have side by side."""
    yield from _encryption(plan)
    by_source = sorted((t for t in plan.tunnels if t.multipoint), key=lambda t: str(t.local))
    for _, group in groupby(by_source, key=lambda t: t.local):
        shared = list(group)
        for tunnel in shared:
            if len(shared) > 1 and tunnel.key is None:
                yield Refusal(
                    ("tunnels", tunnel.name, "key"),
                    "multipoint tunnels from one source are told apart by their keys only",
                    "give each a `key` of its own",
                )
    yield from _crypto_maps(plan)


def _encryption(plan: NodePlan) -> Iterator[Refusal]:
    pairs: dict[tuple[Address, Address], TunnelPlan] = {}
    keys: dict[tuple[Address, str | None], TunnelPlan] = {}
    for tunnel in plan.tunnels:
        path = ("tunnels", tunnel.name, "ipsec")
        first = pairs.setdefault((tunnel.local, tunnel.remote), tunnel)
        if (first.ipsec, first.protection) != (tunnel.ipsec, tunnel.protection):
            yield Refusal(
                path,
                f"{first.name} and {tunnel.name} have the same two ends, between which IOS "
                "encrypts in one way",
                "give both the same `ipsec` and `protection`",
            )
        if tunnel.ipsec is None or tunnel.ipsec.ike != 1:
            continue
        first = keys.setdefault((tunnel.remote, tunnel.transport_vrf), tunnel)
        if first.ipsec is not None and first.ipsec.psk != tunnel.ipsec.psk:
            yield Refusal(
                (*path, "psk"),
                f"IOS finds an IKEv1 key by the far address, and {first.name} and {tunnel.name} "
                f"have two for {tunnel.remote}",
                "give both the same key, or take `ike: 2`",
            )


def _crypto_maps(plan: NodePlan) -> Iterator[Refusal]:
    holder: dict[str, TunnelPlan] = {}
    first_addresses = {
        next((own.ip for own in item.addresses if own.version == 4), None)
        for item in plan.interfaces
    }
    for tunnel in plan.tunnels:
        if tunnel.ipsec is None or tunnel.protection is not Protection.MAP:
            continue
        if tunnel.local.version == 4 and tunnel.local not in first_addresses:
            yield Refusal(
                ("tunnels", tunnel.name, "ends", plan.node, "source"),
                f"a crypto map speaks from an interface's first address, and {tunnel.local} is none",
                "put it first, or on a loopback of its own",
            )
        for name in (tunnel.underlay, *tunnel.other_underlays):
            first = holder.setdefault(name, tunnel)
            if first.local != tunnel.local:
                yield Refusal(
                    ("tunnels", tunnel.name, "ends", plan.node, "protection"),
                    f"{name} has one crypto map, which has one local address, and {first.name} "
                    f"speaks from {first.local}, {tunnel.name} from {tunnel.local}",
                    "give both the same source, or one `protection: tunnel-protection`",
                )


def _routing(plan: NodePlan) -> Iterator[Refusal]:
    for index, route in enumerate(plan.routes):
        if hop_address(plan, route.hop, route.prefix.version) is None:
            yield Refusal(
                ("nodes", plan.node, "routes", index, "via"),
                f"{route.hop.tunnel or route.hop.gateway} carries no IPv{route.prefix.version}",
                "give the tunnel an address of that family, or take another next hop",
            )
    split = any(item.vrf for item in plan.interfaces) or any(t.vrf for t in plan.tunnels)
    for index, policy in enumerate(plan.policies):
        path = ("nodes", plan.node, "policies", index)
        families = policy_families(plan, policy)
        for hop in policy.hops:
            if not families or not all(hop_address(plan, hop, family) for family in families):
                yield Refusal(
                    (*path, "via"),
                    f"{hop.tunnel or hop.gateway} cannot carry what this policy matches",
                    "take next hops of one family",
                )
        if split:
            yield Refusal(
                path,
                "policies are not rendered for an IOS with VRFs",
                "take the policies or the VRFs out",
            )
