"""What the tunnels need of VyOS's firewall and NAT, as comments: both are the operator's, and one
chain of theirs holds the rules of everything else as well. The words are those of VyOS 1.4.
"""

from collections.abc import Iterator

from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.text import address, number
from bongsu.render.vyos.words import Names, quoted

INPUT_RULE, FORWARD_RULE, NAT_RULE = 900, 900, 10
"""Where the numbers of the suggested rules begin."""


def hints(plan: NodePlan, names: Names) -> Iterator[list[str]]:
    """Commented rules: IKE and ESP from the headends, who may come out of a VTI, what NAT leaves."""
    if not plan.vpns:
        return
    yield [
        "# The firewall is yours. If its input drops by default, it has to accept:",
        *(f"# {line}" for place, vpn in enumerate(plan.vpns) for line in _input(place, vpn)),
    ]
    routed = [vpn for vpn in plan.vpns if vpn.binding is not Binding.POLICY]
    if routed:
        yield [
            "# Out of a tunnel should come only who is behind it:",
            *(f"# {line}" for place, vpn in enumerate(routed) for line in _out(names, place, vpn)),
        ]
    policies = [vpn for vpn in plan.vpns if vpn.binding is Binding.POLICY]
    if policies:
        yield [
            "# If the uplink translates addresses, what goes into these tunnels has to be left out:",
            *(f"# {line}" for line in _untranslated(policies)),
        ]


def _input(place: int, vpn: VpnTunnelPlan) -> Iterator[str]:
    family = "ipv4" if vpn.remote.version == 4 else "ipv6"
    rule = f"set firewall {family} input filter rule {number(INPUT_RULE + 2 * place)}"
    yield f"{rule} action accept"
    yield f"{rule} source address {address(vpn.remote)}"
    yield f"{rule} protocol udp"
    yield f"{rule} destination port 500,4500"
    if not vpn.encapsulation:
        rule = f"set firewall {family} input filter rule {number(INPUT_RULE + 2 * place + 1)}"
        yield f"{rule} action accept"
        yield f"{rule} source address {address(vpn.remote)}"
        yield f"{rule} protocol esp"


def _out(names: Names, place: int, vpn: VpnTunnelPlan) -> Iterator[str]:
    group = names.label(vpn.name, "CLOUD")
    own = [prefix for prefix in vpn.remote_networks if prefix.version == 4]
    for prefix in own:
        yield f"set firewall group network-group {group} network {address(prefix)}"
    if own:
        rule = f"set firewall ipv4 forward filter rule {number(FORWARD_RULE + place)}"
        yield f"{rule} action drop"
        yield f"{rule} inbound-interface name {names.vti(vpn.name)}"
        yield f"{rule} source group network-group '!{group}'"


def _untranslated(vpns: list[VpnTunnelPlan]) -> Iterator[str]:
    pairs = dict.fromkeys(
        (vpn.underlay, ours, theirs)
        for vpn in vpns
        for ours in vpn.local_selectors
        for theirs in vpn.remote_selectors
        if ours.version == theirs.version == 4
    )
    for place, (interface, ours, theirs) in enumerate(pairs):
        rule = f"set nat source rule {number(NAT_RULE + place)}"
        yield f"{rule} exclude"
        yield f"{rule} outbound-interface name {quoted(interface)}"
        yield f"{rule} source address {address(ours)}"
        yield f"{rule} destination address {address(theirs)}"
