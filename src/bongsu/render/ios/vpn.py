"""IKE and IPsec of tunnels to a cloud: policies, keyrings, profiles, transform sets.

A keyring and a profile for each tunnel, found by the far address. Like everywhere on IOS, no key is
written: its line is a comment.
"""

from collections.abc import Iterator

from bongsu.model.proposal import Suite, suite
from bongsu.plan.ios_vpn import (
    ESP_CIPHERS,
    HASHES,
    IKE1_CIPHERS,
    IKE2_CIPHERS,
    IKE2_HASHES,
    dpd_retry,
    group_number,
    identity_kind,
)
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.ios.words import Names, Section, placeholder
from bongsu.render.text import RenderError, address, name, number

NAT_KEEPALIVE_S = 20
"""How often a NAT in front is reminded of us: below the 30 s after which some forget UDP."""


def isakmp_policies(plan: NodePlan, last: int, step: int) -> Iterator[Section]:
    """IKEv1's policies, after those with numbers up to `last`; IOS has one list of them for all."""
    policies = dict.fromkeys(
        (text, vpn.ike_lifetime_s)
        for vpn in plan.vpns
        if vpn.ike_version == 1
        for text in vpn.ike_proposals
    )
    for place, (text, lifetime) in enumerate(policies, start=1):
        chosen = suite(text)
        yield [
            f"crypto isakmp policy {number(last + place * step)}",
            f" encryption {IKE1_CIPHERS[chosen.encryption]}",
            f" hash {HASHES[chosen.hash]}",
            " authentication pre-share",
            f" group {_group(chosen)}",
            f" lifetime {number(lifetime)}",
        ]
    if any(vpn.translated for vpn in plan.vpns if vpn.ike_version == 1):
        yield [f"crypto isakmp nat keepalive {number(NAT_KEEPALIVE_S)}"]


def ikev2_proposal_names(plan: NodePlan) -> list[str]:
    """What IKEv2's policy offers for these tunnels, in the order of preference."""
    return [str(chosen).upper() for chosen in _ikev2_suites(plan)]


def ikev2_proposals(plan: NodePlan) -> Iterator[Section]:
    """IKEv2's proposals."""
    for chosen in _ikev2_suites(plan):
        kind = "prf" if chosen.aead else "integrity"
        yield [
            f"crypto ikev2 proposal {str(chosen).upper()}",
            f" encryption {IKE2_CIPHERS[chosen.encryption]}",
            f" {kind} {IKE2_HASHES[chosen.hash]}",
            f" group {_group(chosen)}",
        ]


def profiles(plan: NodePlan, names: Names) -> Iterator[Section]:
    """A keyring and an IKE profile for each tunnel."""
    for vpn in plan.vpns:
        yield from (_ike1 if vpn.ike_version == 1 else _ike2)(names, vpn)


def tunnel_transforms(plan: NodePlan, names: Names) -> Iterator[Section]:
    """Transform sets, and an IPsec profile for each tunnel."""
    suites = {text: suite(text) for vpn in plan.vpns for text in vpn.esp_proposals}
    for label, chosen in {_transform(chosen): chosen for chosen in suites.values()}.items():
        hashed = f" esp-{HASHES[chosen.integrity]}-hmac" if chosen.integrity is not None else ""
        yield [
            f"crypto ipsec transform-set {label} {ESP_CIPHERS[chosen.encryption]}{hashed}",
            " mode tunnel",
        ]
    for vpn in plan.vpns:
        chosen_here = [suites[text] for text in vpn.esp_proposals]
        offered = dict.fromkeys(_transform(chosen) for chosen in chosen_here)
        kind = "isakmp" if vpn.ike_version == 1 else "ikev2"
        label = names.of_tunnel(vpn.name)
        pfs = group_number(chosen_here[0])
        yield [
            f"crypto ipsec profile {label}",
            f" set security-association lifetime seconds {number(vpn.esp_lifetime_s)}",
            f" set transform-set {' '.join(offered)}",
            *([f" set pfs group{number(pfs)}"] if pfs is not None else []),
            f" set {kind}-profile {label}",
            *([" responder-only"] if vpn.start == "respond" else []),
        ]


def _ike1(names: Names, vpn: VpnTunnelPlan) -> Iterator[Section]:
    label, remote = names.of_tunnel(vpn.name), address(vpn.remote)
    yield [
        f"crypto keyring {label}",
        f" local-address {address(vpn.local)}",
        f" ! pre-shared-key address {remote} key {_key(vpn)}",
    ]
    kind, itself = identity_kind(vpn.local_id), "address"
    if kind != "address":
        itself = f"{'fqdn' if kind == 'fqdn' else 'user-fqdn'} {vpn.local_id}"
    far = {"fqdn": "host", "email": "user"}.get(identity_kind(vpn.remote_id) or "", "address")
    mask = " 255.255.255.255" if far == "address" else ""
    yield [
        f"crypto isakmp profile {label}",
        f" keyring {label}",
        f" self-identity {itself}",
        f" match identity {far} {vpn.remote_id}{mask}",
        *_dpd("keepalive", vpn),
        f" local-address {address(vpn.local)}",
    ]


def _ike2(names: Names, vpn: VpnTunnelPlan) -> Iterator[Section]:
    label = names.of_tunnel(vpn.name)
    yield [
        f"crypto ikev2 keyring {label}",
        f" peer {name(vpn.cloud)}",
        f"  address {address(vpn.remote)}",
        f"  ! pre-shared-key {_key(vpn)}",
    ]
    far = identity_kind(vpn.remote_id)
    mask = " 255.255.255.255" if far == "address" else ""
    yield [
        f"crypto ikev2 profile {label}",
        f" match address local {address(vpn.local)}",
        f" match identity remote {far} {vpn.remote_id}{mask}",
        f" identity local {identity_kind(vpn.local_id)} {vpn.local_id}",
        " authentication remote pre-share",
        " authentication local pre-share",
        f" keyring local {label}",
        f" lifetime {number(vpn.ike_lifetime_s)}",
        *_dpd("dpd", vpn),
        *([f" nat keepalive {number(NAT_KEEPALIVE_S)}"] if vpn.translated else []),
        *([" nat force-encap"] if vpn.encapsulation else []),
    ]


def _dpd(word: str, vpn: VpnTunnelPlan) -> list[str]:
    if vpn.dpd is None:
        return []
    delay, retry = number(vpn.dpd.delay_s), number(dpd_retry(vpn))
    if word == "keepalive":
        return [f" keepalive {delay} retry {retry}"]
    return [f" dpd {delay} {retry} periodic"]


def _key(vpn: VpnTunnelPlan) -> str:
    if vpn.psk is None:
        raise RenderError("a tunnel of IOS has a pre-shared key")
    return placeholder(vpn.psk)


def _ikev2_suites(plan: NodePlan) -> list[Suite]:
    texts = (t for vpn in plan.vpns if vpn.ike_version == 2 for t in vpn.ike_proposals)
    return [suite(text) for text in dict.fromkeys(texts)]


def _group(chosen: Suite) -> str:
    found = group_number(chosen)
    if found is None:
        raise RenderError("IKE needs a Diffie-Hellman group")
    return number(found)


def _transform(chosen: Suite) -> str:
    """A transform set's name; the group is not its business."""
    return "-".join(("VPN", chosen.encryption, chosen.integrity or "AEAD")).upper()
