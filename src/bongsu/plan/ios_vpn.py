"""What of a VPN to a cloud Cisco IOS and IOS XE cannot be made to do, and their words for the rest.

Route-based only: `tunnel mode ipsec ipv4`, whose traffic selectors are everything.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from bongsu.model.proposal import GROUPS, Suite, suite
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.vpn import VpnTunnelPlan

IKE1_CIPHERS = {"aes128": "aes 128", "aes192": "aes 192", "aes256": "aes 256", "3des": "3des",
                "des": "des"}  # fmt: skip
IKE2_CIPHERS = {"aes128": "aes-cbc-128", "aes192": "aes-cbc-192", "aes256": "aes-cbc-256",
                "3des": "3des", "des": "des", "aes128gcm16": "aes-gcm-128",
                "aes256gcm16": "aes-gcm-256"}  # fmt: skip
ESP_CIPHERS = {"aes128": "esp-aes 128", "aes192": "esp-aes 192", "aes256": "esp-aes 256",
               "3des": "esp-3des", "des": "esp-des", "null": "esp-null",
               "aes128gcm16": "esp-gcm 128", "aes192gcm16": "esp-gcm 192",
               "aes256gcm16": "esp-gcm 256"}  # fmt: skip
HASHES = {"md5": "md5", "sha1": "sha", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
"""Of ISAKMP policies and, as `esp-sha256-hmac`, of transform sets."""
IKE2_HASHES = {**HASHES, "sha1": "sha1"}
IOS_GROUPS = frozenset({1, 2, 5, 14, 15, 16, 19, 20, 21, 24})

DPD_DELAY_S = (10, 3600)
DPD_RETRY_S = (2, 60)
DPD_TRIES = 5
"""How often an unanswered question is repeated before the peer counts as dead."""

DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+")
MAIL = re.compile(rf"[A-Za-z0-9._-]+@{DOMAIN.pattern}")


def group_number(chosen: Suite) -> int | None:
    """IANA's number of the group; None without one."""
    return None if chosen.group is None else GROUPS[chosen.group]


def identity_kind(identity: str) -> str | None:
    """`address`, `fqdn` or `email`; None for what IOS is not told here (a distinguished name)."""
    try:
        ip_address(identity)
    except ValueError:
        if MAIL.fullmatch(identity):
            return "email"
        return "fqdn" if DOMAIN.fullmatch(identity) else None
    return "address"


def dpd_retry(tunnel: VpnTunnelPlan) -> int:
    """Seconds between IOS's questions, so that its five tries end at the plan's time-out."""
    if tunnel.dpd is None:
        return DPD_RETRY_S[0]
    spread = (tunnel.dpd.timeout_s - tunnel.dpd.delay_s) // DPD_TRIES
    return min(max(spread, DPD_RETRY_S[0]), DPD_RETRY_S[1])


def vpn_refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan's VPN tunnels and their BGP that IOS cannot carry out."""
    pairs: dict[tuple[object, object], str] = {
        (tunnel.local, tunnel.remote): tunnel.name for tunnel in plan.tunnels if tunnel.ipsec
    }
    for tunnel in plan.vpns:
        yield from _way(plan, tunnel)
        yield from _algorithms(tunnel)
        yield from _identities(tunnel)
        yield from _liveness(tunnel)
        first = pairs.setdefault((tunnel.local, tunnel.remote), tunnel.name)
        if first != tunnel.name:
            yield Refusal(
                ("vpns", tunnel.vpn, "tunnels", tunnel.name, "headend"),
                f"{first} and {tunnel.name} have the same two ends, between which IOS encrypts in "
                "one way",
                "take another headend",
            )
        if any(p.version == 6 for p in [*tunnel.local_networks, *tunnel.remote_networks]):
            yield Refusal(
                ("vpns", tunnel.vpn),
                "a VPN is rendered for IOS with IPv4 inside only",
                "take the IPv6 networks of site and cloud out",
            )
    for peer in plan.cloud_peers:
        if any(p.version == 6 for p in [*peer.announce, *(peer.accept or [])]):
            yield Refusal(
                ("vpns", peer.vpn, "bgp"),
                "BGP with a cloud is rendered for IOS with IPv4 only",
                "take the IPv6 prefixes out of `announce` and `accept`",
            )
        if peer.bfd is not None:
            yield Refusal(
                ("vpns", peer.vpn, "bgp", "bfd"),
                "Cisco documents BFD on tunnels for DMVPN only, and none is rendered for IOS",
                "take `bfd` out",
            )


def _way(plan: NodePlan, tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    """How packets come to the tunnel, and what it runs over."""
    path = ("vpns", tunnel.vpn)
    here = (*path, "tunnels", tunnel.name)
    if tunnel.binding is Binding.POLICY:
        yield Refusal(
            (*path, "binding"),
            "a VPN is rendered for IOS with tunnel interfaces only",
            "take `binding: vti`",
        )
    if any(p.prefixlen for p in [*tunnel.local_selectors, *tunnel.remote_selectors]):
        yield Refusal(
            (*path, "selectors"),
            "a tunnel interface of IOS has selectors for everything",
            "take `selectors: any`, and let routes and filters decide",
        )
    if tunnel.local.version == 6:
        yield Refusal(
            (*here, "headend"), "a VPN is rendered for IOS over IPv4 only", "take an IPv4 headend"
        )
    if tunnel.inside is None:
        yield Refusal(
            here,
            "a tunnel interface of IOS needs an inside address",
            "add `inside: 169.254.10.1/30`",
        )
    elif tunnel.inside.version == 6:
        yield Refusal(
            (*here, "inside"),
            "`tunnel mode ipsec ipv4` carries IPv4 only",
            "take IPv4 inside addresses",
        )
    if tunnel.start == "on-demand":
        yield Refusal(
            (*path, "start"),
            "a tunnel interface of IOS calls at once, or only answers",
            "take `start: initiate` or `start: respond`",
        )
    if tunnel.certificate is not None:
        yield Refusal(
            (*path, "certificate"),
            "certificates are not rendered for IOS",
            "take pre-shared keys (`psk`)",
        )
    if plan.interface(tunnel.underlay).vrf is not None:
        yield Refusal(
            (*path, "interface"),
            "a VPN over an uplink in a VRF is not rendered for IOS",
            "take an uplink without `vrf`",
        )
    if tunnel.encapsulation and not tunnel.translated and tunnel.ike_version == 1:
        yield Refusal(
            (*path, "encapsulation"),
            "with IKEv1, IOS encapsulates in UDP only where it finds a NAT, and none is stated",
            "take `encapsulation` out, or `ike: {version: 2}`",
        )


def _algorithms(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    path = ("vpns", tunnel.vpn)
    ciphers = IKE1_CIPHERS if tunnel.ike_version == 1 else IKE2_CIPHERS
    for text in tunnel.ike_proposals:
        chosen = suite(text)
        if chosen.encryption not in ciphers or group_number(chosen) not in IOS_GROUPS:
            yield Refusal(
                (*path, "ike", "proposals"),
                f"IOS has no {text} for IKEv{tunnel.ike_version}",
                "take one such as aes256-sha256-modp2048",
            )
    chosen_esp = [suite(text) for text in tunnel.esp_proposals]
    for text, chosen in zip(tunnel.esp_proposals, chosen_esp, strict=True):
        group = group_number(chosen)
        if chosen.encryption not in ESP_CIPHERS or not (group is None or group in IOS_GROUPS):
            yield Refusal(
                (*path, "esp", "proposals"),
                f"IOS has no {text} for ESP",
                "take one such as aes256gcm16-modp2048",
            )
    if len({chosen.group for chosen in chosen_esp}) > 1:
        yield Refusal(
            (*path, "esp", "proposals"),
            "IOS has one group of perfect forward secrecy for all proposals of a tunnel",
            "give all of them the same group",
        )


def _identities(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    path = ("vpns", tunnel.vpn, "tunnels", tunnel.name)
    for key, identity in (("id", tunnel.local_id), ("peer_id", tunnel.remote_id)):
        if identity_kind(identity) is None:
            yield Refusal(
                (*path, key),
                f"an IOS is told identities as an address, a domain or a mail name, not {identity}",
                "take one of those",
            )
    own = tunnel.local_id
    if tunnel.ike_version == 1 and identity_kind(own) == "address" and own != str(tunnel.local):
        yield Refusal(
            (*path, "id"),
            f"with IKEv1, an IOS calls itself by the address it has, {tunnel.local}, not {own}",
            f"set `id: {tunnel.local}` here and the same as the CPE's IKE identifier in the cloud, or "
            "take `ike: {version: 2}`",
        )


def _liveness(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    if tunnel.probe is not None:
        yield Refusal(
            ("vpns", tunnel.vpn, "probe"),
            "it is bongsu's agent that sends echoes through a tunnel, and none runs on an IOS",
            "take `probe` out, and set shorter BGP timers",
        )
    if tunnel.dpd is None:
        return
    least, most = DPD_DELAY_S
    if not least <= tunnel.dpd.delay_s <= most:
        yield Refusal(
            ("vpns", tunnel.vpn, "dpd", "delay_s"),
            f"IOS asks a peer every {least} to {most} s, not every {tunnel.dpd.delay_s}",
            f"set `delay_s` to {least} or more",
        )
