"""BGP with a cloud, and the lists of what may pass it either way."""

from collections import Counter
from collections.abc import Iterator

from bongsu.model.base import Prefix
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer
from bongsu.render.text import address, name, number
from bongsu.render.vyos.words import Names, placeholder, quoted, set_all, unicast

STEP = 10


def bgp_filters(plan: NodePlan, names: Names) -> Iterator[list[str]]:
    """Prefix lists and route maps, two of each for a session."""
    for peer in plan.cloud_peers:
        family = "ip" if peer.address.version == 4 else "ipv6"
        out_label, in_label = _labels(names, peer)
        yield [
            *_list(out_label, peer, peer.announce, longer=False),
            *_list(in_label, peer, peer.accept or [], longer=True, any_=peer.accept is None),
        ]
        prepend = " ".join([number(plan.asn)] * peer.prepend)
        matches = f"match {family} address prefix-list"
        yield [
            *set_all(
                f"policy route-map {out_label} rule 10",
                "action 'permit'",
                f"{matches} '{out_label}'",
                *([f"set as-path prepend '{prepend}'"] if prepend else []),
            ),
            *set_all(
                f"policy route-map {in_label} rule 10",
                "action 'permit'",
                *([f"{matches} '{in_label}'"] if peer.accept is not None else []),
                f"set local-preference '{number(peer.preference)}'",
            ),
        ]


def bgp(plan: NodePlan, names: Names) -> Iterator[list[str]]:
    """The BGP process and its sessions."""
    if not plan.cloud_peers:
        return
    prefixes = dict.fromkeys(prefix for peer in plan.cloud_peers for prefix in peer.announce)
    yield [
        *set_all(
            "protocols bgp",
            f"system-as '{number(plan.asn)}'",
            f"parameters router-id '{address(plan.router_id)}'",
            *(
                f"address-family {unicast(prefix.version)} network '{address(prefix)}'"
                for prefix in prefixes
            ),
        ),
        *_equal_paths(plan),
    ]
    for peer in plan.cloud_peers:
        yield list(_session(names, peer))


def _session(names: Names, peer: CloudPeer) -> Iterator[str]:
    path = f"protocols bgp neighbor {address(peer.address)}"
    out_label, in_label = _labels(names, peer)
    yield from set_all(
        path,
        f"remote-as '{number(peer.asn)}'",
        f"description {quoted(f'{name(peer.vpn)} by {name(peer.tunnel)}')}",
        f"update-source '{address(peer.local)}'",
        f"timers keepalive '{number(peer.keepalive_s)}'",
        f"timers holdtime '{number(peer.hold_s)}'",
    )
    if peer.multihop is not None:
        yield f"set {path} ebgp-multihop '{number(peer.multihop)}'"
    if peer.password is not None:
        yield f"# set {path} password {placeholder(peer.password)}"
    if peer.bfd is not None:
        label = names.label(peer.tunnel)
        yield from set_all(
            f"protocols bfd profile {label} interval",
            f"multiplier '{number(peer.bfd.multiplier)}'",
            f"receive '{number(peer.bfd.interval_ms)}'",
            f"transmit '{number(peer.bfd.interval_ms)}'",
        )
        yield f"set {path} bfd profile '{label}'"
    yield from set_all(
        f"{path} address-family {unicast(peer.address.version)}",
        *(["nexthop-self"] if peer.next_hop_self else []),
        *(["soft-reconfiguration inbound"] if peer.soft_reconfiguration else []),
        f"route-map import '{in_label}'",
        f"route-map export '{out_label}'",
        *([f"maximum-prefix '{number(peer.max_prefixes)}'"] if peer.max_prefixes else []),
    )


def _labels(names: Names, peer: CloudPeer) -> tuple[str, str]:
    return names.label(peer.tunnel, "TO-CLOUD"), names.label(peer.tunnel, "FROM-CLOUD")


def _list(
    label: str, peer: CloudPeer, prefixes: list[Prefix], *, longer: bool, any_: bool = False
) -> Iterator[str]:
    if any_:
        return
    kind = "prefix-list" if peer.address.version == 4 else "prefix-list6"
    for place, prefix in enumerate(prefixes, start=1):
        limit = longer and prefix.prefixlen < prefix.max_prefixlen
        yield from set_all(
            f"policy {kind} {label} rule {number(place * STEP)}",
            "action 'permit'",
            f"prefix '{address(prefix)}'",
            *([f"le '{number(prefix.max_prefixlen)}'"] if limit else []),
        )
    if not prefixes:
        everything = "0.0.0.0/0" if peer.address.version == 4 else "::/0"
        yield from set_all(
            f"policy {kind} {label} rule {number(STEP)}",
            "action 'deny'",
            f"prefix '{everything}'",
            f"le '{number(peer.address.max_prefixlen)}'",
        )


def _equal_paths(plan: NodePlan) -> Iterator[str]:
    """Where sessions of one connection are equally good, all of them are used."""
    counts: Counter[tuple[str, int, str]] = Counter(
        (peer.vpn, peer.preference, unicast(peer.address.version)) for peer in plan.cloud_peers
    )
    most: dict[str, int] = {}
    for (_, _, family), count in counts.items():
        most[family] = max(count, most.get(family, 1))
    for family, count in most.items():
        if count > 1:
            yield f"set protocols bgp address-family {family} maximum-paths ebgp '{number(count)}'"
