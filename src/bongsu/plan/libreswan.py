"""What Libreswan 4 cannot be made to do, as far as a plan may ask for it: then strongSwan does it.

Judged in one place: a check tells it with its line in the file, and the renderer refuses. What
algorithms there are was asked of Debian's build (4.10, `ipsec algparse`).
"""

from collections.abc import Iterator
from itertools import product

from bongsu.model.base import Prefix
from bongsu.model.proposal import Suite, suite
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.refusal import Refusal
from bongsu.plan.vpn import VpnTunnelPlan

REMEDY = "another proposal, or leave `ipsec` of the node out: strongSwan does it"
ABSENT = frozenset({"des", "modp768", "modp1024", "modp2048s256"})
"""Not in Debian's build at all."""
LONGEST_S = 86400
"""Of both lifetimes; more would be cut (ipsec.conf(5))."""


def refusals(plan: NodePlan) -> Iterator[Refusal]:
    """Everything in the plan's VPNs that cannot be done; the plan's own `ipsec` does not matter."""
    told = set()
    for tunnel in plan.vpns:
        for refusal in [*_proposals(tunnel), *_lifetimes(tunnel), *_interface(tunnel)]:
            # Proposals are the connection's: once for all its tunnels.
            if refusal not in told:
                told.add(refusal)
                yield refusal
    yield from _same_selectors(plan.vpns)


def common_group(proposals: list[str]) -> tuple[list[str], list[str]]:
    """The ESP proposals that can be made, and those that cannot beside the first of them.

    Libreswan has one Diffie-Hellman group, or none, for all that it proposes for ESP.
    """
    group = suite(proposals[0]).group
    made = [text for text in proposals if suite(text).group == group]
    return made, [text for text in proposals if text not in made]


def _proposals(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    for phase, proposals in (("ike", tunnel.ike_proposals), ("esp", tunnel.esp_proposals)):
        for text in proposals:
            why = _why_not(suite(text), phase, tunnel.ike_version)
            if why is not None:
                yield Refusal(
                    ("vpns", tunnel.vpn, phase, "proposals"),
                    f"{text} is none of Libreswan's: {why}",
                    REMEDY,
                )


def _lifetimes(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    for phase, seconds in (("ike", tunnel.ike_lifetime_s), ("esp", tunnel.esp_lifetime_s)):
        if seconds > LONGEST_S:
            yield Refusal(
                ("vpns", tunnel.vpn, phase, "lifetime_s"),
                f"Libreswan renews keys after a day at the latest, and {seconds} s are more",
                f"{LONGEST_S} at most",
            )


def _why_not(chosen: Suite, phase: str, version: int) -> str | None:
    if missing := ABSENT & set(chosen.parts):
        return f"it is built without {', '.join(sorted(missing))}"
    if chosen.integrity is not None and chosen.prf not in (None, chosen.integrity):
        return f"its PRF is the hash, and prf{chosen.prf} is another"
    if phase == "ike" and chosen.encryption == "null":
        return "IKE is always encrypted"
    if version == 1 and phase == "ike" and chosen.aead:
        return f"{chosen.encryption} is for IKEv2"
    if version == 1 and chosen.encryption == "chacha20poly1305":
        return f"{chosen.encryption} is for IKEv2"
    if version == 1 and phase == "esp" and chosen.group and not chosen.group.startswith("modp"):
        return f"with IKEv1 forward secrecy has modp groups only, not {chosen.group}"
    return None


def _same_selectors(tunnels: list[VpnTunnelPlan]) -> Iterator[Refusal]:
    """Seen with 4.10: "cannot route -- route already in use", also when the first is down."""
    held: dict[tuple[Prefix, Prefix], VpnTunnelPlan] = {}
    for tunnel in tunnels:
        if tunnel.binding is not Binding.POLICY:
            continue
        pairs = list(product(tunnel.local_selectors, tunnel.remote_selectors))
        if shared := next((pair for pair in pairs if pair in held), None):
            yield Refusal(
                ("vpns", tunnel.vpn, "tunnels", tunnel.name),
                f"without interfaces Libreswan leads {shared[0]} - {shared[1]} into"
                f" {held[shared].name} alone, and {tunnel.name} has it too: it never takes over",
                "`binding: vti`, or leave `ipsec` of the node out: strongSwan does it",
            )
        for pair in pairs:
            held.setdefault(pair, tunnel)


def _interface(tunnel: VpnTunnelPlan) -> Iterator[Refusal]:
    if tunnel.binding is Binding.XFRM and tunnel.name != f"ipsec{tunnel.mark}":
        yield Refusal(
            ("vpns", tunnel.vpn, "tunnels", tunnel.name),
            f"Libreswan calls an XFRM interface ipsecN, N being its mark: {tunnel.name} with mark"
            f" {tunnel.mark} is not",
            f"call it ipsec{tunnel.mark} and state `mark: {tunnel.mark}`, or `binding: vti`",
        )
