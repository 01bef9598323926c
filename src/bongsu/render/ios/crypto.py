"""IPsec of tunnels: IKEv1 or IKEv2, by a crypto map at the port or by tunnel protection.

The two differ in who is encrypted (Cisco's document 118370): a map takes every packet between the
two addresses that leaves by the port, tunnel protection only what the tunnel itself sends. No key is
ever written: its line is a comment, so that a file pasted as it is sets no key, least of all one that
is known to everybody.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_network

from bongsu.model.base import Address
from bongsu.model.ipsec import Ipsec, Protection
from bongsu.plan.ios_names import is_loopback
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.ios.vpn import (
    ikev2_proposal_names,
    ikev2_proposals,
    isakmp_policies,
    profiles,
    tunnel_transforms,
)
from bongsu.render.ios.words import Names, Section, destination, in_vrf, matched, placeholder
from bongsu.render.text import address, name, number

POLICY = "BONGSU"
"""Of IKEv2: the list of proposals."""
STEP = 10
_CIPHERS = {"aes128": "128", "aes256": "256"}


def crypto(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Policies, keys, transforms, profiles and maps of all tunnels that have `ipsec`."""
    pairs = _pairs(plan)
    settings = [(tunnel, ipsec) for tunnel, ipsec in pairs if ipsec.ike == 1]
    yield from _isakmp(settings)
    yield from isakmp_policies(plan, len(_distinct(settings, _proposal)) * STEP, STEP)
    yield from ikev2_proposals(plan)
    yield from _ikev2(plan, names, [(tunnel, ipsec) for tunnel, ipsec in pairs if ipsec.ike == 2])
    yield from profiles(plan, names)
    for ipsec in _distinct(pairs, _transform):
        cipher, digest = _CIPHERS[ipsec.encryption], ipsec.integrity
        yield [
            f"crypto ipsec transform-set {_transform(ipsec)} esp-aes {cipher} esp-{digest}-hmac",
            f" mode {ipsec.mode}",
        ]
    yield from tunnel_transforms(plan, names)
    for tunnel, ipsec in pairs:
        if tunnel.protection is Protection.TUNNEL:
            yield [
                f"crypto ipsec profile {names.of_tunnel(tunnel.name)}",
                f" set transform-set {_transform(ipsec)}",
                *_set_profile(names, tunnel, ipsec),
            ]
    yield from _maps(plan, names, pairs)


def profile_name(plan: NodePlan, names: Names, tunnel: TunnelPlan) -> str:
    """The IPsec profile of a tunnel: that of the first between the same two addresses."""
    first = next(t for t, _ in _pairs(plan) if _ends(t) == _ends(tunnel))
    return names.of_tunnel(first.name)


def shares_profile(plan: NodePlan, tunnel: TunnelPlan) -> bool:
    """Whether another tunnel is between the same addresses: IOS has one socket for all of them."""
    return sum(_ends(other) == _ends(tunnel) for other in plan.tunnels) > 1


def map_on(plan: NodePlan, names: Names, interface: str) -> str | None:
    """The crypto map of a port; None if it has none."""
    for tunnel in plan.tunnels:
        if _mapped(tunnel) and interface in (tunnel.underlay, *tunnel.other_underlays):
            return _map_name(plan, names, tunnel.local)
    return None


def _isakmp(pairs: list[tuple[TunnelPlan, Ipsec]]) -> Iterator[Section]:
    for index, ipsec in enumerate(_distinct(pairs, _proposal), start=1):
        yield [
            f"crypto isakmp policy {number(index * STEP)}",
            f" encryption aes {_CIPHERS[ipsec.encryption]}",
            f" hash {ipsec.integrity}",
            " authentication pre-share",
            f" group {number(ipsec.group)}",
        ]
    peers = {(tunnel.remote, tunnel.transport_vrf): ipsec for tunnel, ipsec in pairs}
    for number_, ((remote, vrf), ipsec) in enumerate(peers.items()):
        six = "ipv6 " if remote.version == 6 else ""
        peer = f"{six}{address(remote)}{'/128' if six else ''}"
        if vrf is None:
            yield [f"! crypto isakmp key {placeholder(ipsec.psk)} address {peer}"]
        else:
            yield [
                f"crypto keyring PEER{number(number_)}{in_vrf(vrf)}",
                f" ! pre-shared-key address {peer} key {placeholder(ipsec.psk)}",
            ]


def _ikev2(
    plan: NodePlan, names: Names, pairs: list[tuple[TunnelPlan, Ipsec]]
) -> Iterator[Section]:
    proposals = _distinct(pairs, _proposal)
    for ipsec in proposals:
        yield [
            f"crypto ikev2 proposal {_proposal(ipsec)}",
            f" encryption aes-cbc-{_CIPHERS[ipsec.encryption]}",
            f" integrity {ipsec.integrity}",
            f" group {number(ipsec.group)}",
        ]
    offered = [_proposal(ipsec) for ipsec in proposals] + ikev2_proposal_names(plan)
    if offered:
        anywhere = any(tunnel.transport_vrf is not None for tunnel, _ in pairs)
        yield [
            f"crypto ikev2 policy {POLICY}",
            *([" match fvrf any"] if anywhere else []),
            *(f" proposal {each}" for each in dict.fromkeys(offered)),
        ]
    for tunnel, ipsec in pairs:
        label, peer = names.of_tunnel(tunnel.name), ip_network(tunnel.remote)
        yield [
            f"crypto ikev2 keyring {label}",
            f" peer {name(tunnel.peer)}",
            f"  address {address(tunnel.remote if peer.version == 4 else peer)}",
            f"  ! pre-shared-key {placeholder(ipsec.psk)}",
        ]
        yield [
            f"crypto ikev2 profile {label}",
            *([f" match f{in_vrf(tunnel.transport_vrf)[1:]}"] if tunnel.transport_vrf else []),
            f" match address local {address(tunnel.local)}",
            f" match identity remote address {destination(peer)}",
            f" identity local address {address(tunnel.local)}",
            " authentication remote pre-share",
            " authentication local pre-share",
            f" keyring local {label}",
        ]


def _maps(plan: NodePlan, names: Names, pairs: list[tuple[TunnelPlan, Ipsec]]) -> Iterator[Section]:
    mapped = [(tunnel, ipsec) for tunnel, ipsec in pairs if _mapped(tunnel)]
    for tunnel, _ in mapped:
        source, remote = (matched(ip_network(end)) for end in _ends(tunnel))
        listed = names.of_tunnel(tunnel.name, "CRYPTO")
        yield [f"ip access-list extended {listed}", f" permit gre {source} {remote}"]
    loopbacks = {
        own.ip: names.port(item.name)
        for item in plan.interfaces
        if is_loopback(item.name)
        for own in item.addresses[:1]
    }
    for local in dict.fromkeys(tunnel.local for tunnel, _ in mapped):
        if local in loopbacks:
            yield [f"crypto map {_map_name(plan, names, local)} local-address {loopbacks[local]}"]
    places: dict[str, int] = {}
    for tunnel, ipsec in mapped:
        label = _map_name(plan, names, tunnel.local)
        places[label] = places.get(label, 0) + STEP
        yield [
            f"crypto map {label} {number(places[label])} ipsec-isakmp",
            f" set peer {address(tunnel.remote)}",
            f" set transform-set {_transform(ipsec)}",
            *_set_profile(names, tunnel, ipsec),
            f" match address {names.of_tunnel(tunnel.name, 'CRYPTO')}",
        ]


def _map_name(plan: NodePlan, names: Names, local: Address) -> str:
    """A map for each local address, called after its first tunnel."""
    first = next(t for t in plan.tunnels if _mapped(t) and t.local == local)
    return names.of_tunnel(first.name, "MAP")


def _set_profile(names: Names, tunnel: TunnelPlan, ipsec: Ipsec) -> list[str]:
    return [f" set ikev2-profile {names.of_tunnel(tunnel.name)}"] if ipsec.ike == 2 else []


def _pairs(plan: NodePlan) -> list[tuple[TunnelPlan, Ipsec]]:
    """The first encrypted tunnel of every two addresses: what stands for all between them."""
    found: dict[tuple[Address, Address], tuple[TunnelPlan, Ipsec]] = {}
    for tunnel in plan.tunnels:
        if tunnel.ipsec is not None:
            found.setdefault(_ends(tunnel), (tunnel, tunnel.ipsec))
    return list(found.values())


def _distinct(pairs: list[tuple[TunnelPlan, Ipsec]], by: Callable[[Ipsec], str]) -> list[Ipsec]:
    return list({by(ipsec): ipsec for _, ipsec in reversed(pairs)}.values())[::-1]


def _ends(tunnel: TunnelPlan) -> tuple[Address, Address]:
    return tunnel.local, tunnel.remote


def _mapped(tunnel: TunnelPlan) -> bool:
    return tunnel.ipsec is not None and tunnel.protection is Protection.MAP


def _proposal(ipsec: Ipsec) -> str:
    return f"{ipsec.encryption}-{ipsec.integrity}-G{ipsec.group}".upper()


def _transform(ipsec: Ipsec) -> str:
    return f"{ipsec.encryption}-{ipsec.integrity}-{ipsec.mode}".upper()
