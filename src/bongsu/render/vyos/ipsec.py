"""IPsec: an IKE group, an ESP group and a peer for each tunnel, bound to its VTI or with its policies.

VyOS wants a hash beside every cipher. Beside one that authenticates itself it means the PRF of IKE,
and for ESP nothing: strongSwan, which VyOS drives, drops it. No key is written: its line is a comment.
"""

from collections.abc import Iterator

from bongsu.model.proposal import GROUPS, Suite, suite
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.plan.vyos import CIPHERS
from bongsu.render.text import RenderError, address, number
from bongsu.render.vyos.words import Names, placeholder, quoted, set_all

DPD_ACTIONS = {"restart": "restart", "clear": "clear", "hold": "trap"}
STEP = 10


def ipsec(plan: NodePlan, names: Names) -> Iterator[list[str]]:
    """Sections of `set` commands: what is for all tunnels, then each tunnel."""
    if not plan.vpns:
        return
    interfaces = dict.fromkeys(vpn.underlay for vpn in plan.vpns)
    yield [
        *set_all("vpn ipsec", *(f"interface {quoted(name)}" for name in interfaces)),
        # Routes decide what goes in; one for the selectors 0.0.0.0/0 would take everything.
        "set vpn ipsec options disable-route-autoinstall",
    ]
    for vpn in plan.vpns:
        yield list(_ike_group(names, vpn))
        yield list(_esp_group(names, vpn))
        yield list(_peer(names, vpn))


def _ike_group(names: Names, vpn: VpnTunnelPlan) -> Iterator[str]:
    path = f"vpn ipsec ike-group {names.label(vpn.name)}"
    yield f"set {path} key-exchange 'ikev{number(vpn.ike_version)}'"
    yield f"set {path} lifetime '{number(vpn.ike_lifetime_s)}'"
    yield f"set {path} close-action '{'start' if vpn.start == 'initiate' else 'none'}'"
    if vpn.dpd is not None:
        yield from set_all(
            f"{path} dead-peer-detection",
            f"action '{DPD_ACTIONS[vpn.dpd.action]}'",
            f"interval '{number(vpn.dpd.delay_s)}'",
            # IKEv2 gives up after its retransmissions, whatever stands here.
            f"timeout '{number(vpn.dpd.timeout_s)}'",
        )
    for place, text in enumerate(vpn.ike_proposals, start=1):
        chosen = suite(text)
        if chosen.group is None:
            raise RenderError("IKE needs a Diffie-Hellman group")
        yield from set_all(
            f"{path} proposal {number(place * STEP)}",
            f"dh-group '{number(GROUPS[chosen.group])}'",
            *_ciphers(chosen),
        )
        if chosen.prf is not None:
            yield f"set {path} proposal {number(place * STEP)} prf 'prf{chosen.prf}'"


def _esp_group(names: Names, vpn: VpnTunnelPlan) -> Iterator[str]:
    path = f"vpn ipsec esp-group {names.label(vpn.name)}"
    suites = [suite(text) for text in vpn.esp_proposals]
    group = suites[0].group
    yield f"set {path} lifetime '{number(vpn.esp_lifetime_s)}'"
    yield f"set {path} mode 'tunnel'"
    yield f"set {path} pfs '{'disable' if group is None else f'dh-group{number(GROUPS[group])}'}'"
    for place, chosen in enumerate(suites, start=1):
        yield from set_all(f"{path} proposal {number(place * STEP)}", *_ciphers(chosen))


def _peer(names: Names, vpn: VpnTunnelPlan) -> Iterator[str]:
    label = names.label(vpn.name)
    if vpn.psk is None:
        raise RenderError("a tunnel of VyOS has a pre-shared key")
    key = f"vpn ipsec authentication psk {label}"
    for identity in dict.fromkeys((vpn.local_id, vpn.remote_id)):
        yield f"set {key} id {quoted(identity)}"
    yield f"# set {key} secret {placeholder(vpn.psk)}"
    path = f"vpn ipsec site-to-site peer {label}"
    yield from set_all(
        path,
        f"authentication local-id {quoted(vpn.local_id)}",
        "authentication mode 'pre-shared-secret'",
        f"authentication remote-id {quoted(vpn.remote_id)}",
        f"connection-type '{'initiate' if vpn.start == 'initiate' else 'none'}'",
        f"default-esp-group '{label}'",
        *(["force-udp-encapsulation"] if vpn.encapsulation else []),
        f"ike-group '{label}'",
        f"local-address '{address(vpn.local)}'",
        f"remote-address '{address(vpn.remote)}'",
    )
    if vpn.binding is not Binding.POLICY:
        yield f"set {path} vti bind '{names.vti(vpn.name)}'"
        return
    pairs = ((ours, theirs) for ours in vpn.local_selectors for theirs in vpn.remote_selectors)
    matching = [(ours, theirs) for ours, theirs in pairs if ours.version == theirs.version]
    for place, (ours, theirs) in enumerate(matching, start=1):
        yield f"set {path} tunnel {number(place)} local prefix '{address(ours)}'"
        yield f"set {path} tunnel {number(place)} remote prefix '{address(theirs)}'"


def _ciphers(chosen: Suite) -> list[str]:
    return [f"encryption '{CIPHERS[chosen.encryption]}'", f"hash '{chosen.hash}'"]
