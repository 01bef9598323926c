"""The two files for a VyOS: `set` commands, and a README with what to fill in and what to look at.

VyOS runs no agent of ours. As with Cisco's IOS, secrets are not written, and their lines are comments.
The firewall is the operator's: what the tunnels need of it is a comment, too.
"""

from collections.abc import Iterator
from pathlib import Path

from bongsu.model.base import Prefix
from bongsu.model.vpn import Binding
from bongsu.plan.node import InterfacePlan, NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.plan.vyos import refusals
from bongsu.render import template
from bongsu.render.template import Admitted
from bongsu.render.text import RenderError, address, name, number
from bongsu.render.vyos.bgp import bgp, bgp_filters
from bongsu.render.vyos.firewall import hints
from bongsu.render.vyos.ipsec import ipsec
from bongsu.render.vyos.words import Names, placeholder, quoted, set_all

DIRECTORY = "/vyos"
ETHERNET_MTU = 1500
MSS_HEADER = {4: 40, 6: 60}
"""Bytes of IP and TCP header: the MTU less these is the MSS (RFC 879, RFC 8201)."""


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}` of the two files."""
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} is a VyOS: " + "; ".join(reasons))
    names = Names(plan)
    file = f"{name(plan.node)}.commands"
    return {
        f"{DIRECTORY}/README.md": _readme(plan, names, file, header),
        f"{DIRECTORY}/{file}": _commands(plan, names, header),
    }


def _commands(plan: NodePlan, names: Names, header: list[str]) -> str:
    # Without the header's last line: a person does edit this file, where secrets are to be put.
    lines = [f"# {line}" for line in header[:2]]
    for section in _sections(plan, names):
        lines += ["", *section]
    return "\n".join(lines) + "\n"


def _sections(plan: NodePlan, names: Names) -> Iterator[list[str]]:
    yield [f"set system host-name '{name(plan.node)}'"]
    for item in plan.interfaces:
        yield list(_port(names, item))
    for vpn in plan.vpns:
        if vpn.binding is not Binding.POLICY:
            yield list(_vti(names, vpn))
    yield from ipsec(plan, names)
    if routes := list(_routes(plan, names)):
        yield routes
    yield from bgp_filters(plan, names)
    yield from bgp(plan, names)
    yield from hints(plan, names)


def _port(names: Names, item: InterfacePlan) -> Iterator[str]:
    yield from set_all(names.port(item.name), *(f"address '{address(a)}'" for a in item.addresses))
    if item.mtu != ETHERNET_MTU and item.role != "loopback":
        yield f"set {names.port(item.name)} mtu '{number(item.mtu)}'"


def _vti(names: Names, vpn: VpnTunnelPlan) -> Iterator[str]:
    if vpn.inside is None:
        raise RenderError("a VTI of VyOS needs an inside address")
    family = vpn.inside.version
    word = "ip" if family == 4 else "ipv6"
    yield from set_all(
        f"interfaces vti {names.vti(vpn.name)}",
        f"address '{address(vpn.inside)}'",
        f"description {quoted(f'{name(vpn.name)} to {name(vpn.cloud)}')}",
        f"mtu '{number(vpn.mtu)}'",
        f"{word} adjust-mss '{number(vpn.mtu - MSS_HEADER[family])}'",
        *([f"{word} source-validation 'strict'"] if vpn.rpf == "strict" and family == 4 else []),
    )


def _routes(plan: NodePlan, names: Names) -> Iterator[str]:
    for item in plan.interfaces:
        for gateway in item.gateways:
            everything = "0.0.0.0/0" if gateway.version == 4 else "::/0"
            word = "route" if gateway.version == 4 else "route6"
            yield f"set protocols static {word} {everything} next-hop {address(gateway)}"
    for route in plan.routes:
        if route.hop.gateway is None:
            raise RenderError("a static route of VyOS has a router's address")
        yield from _static(route.prefix, f"next-hop {address(route.hop.gateway)}", route.distance)
    for route in plan.vpn_routes:
        if route.hop.tunnel is None:
            raise RenderError("a VPN's route leads into one of its tunnels")
        way = f"interface {names.vti(route.hop.tunnel)}"
        yield from _static(route.prefix, way, route.distance)


def _static(prefix: Prefix, way: str, distance: int) -> Iterator[str]:
    word = "route" if prefix.version == 4 else "route6"
    path = f"set protocols static {word} {address(prefix)} {way}"
    yield path if distance == 1 else f"{path} distance '{number(distance)}'"


def _readme(plan: NodePlan, names: Names, file: str, header: list[str]) -> str:
    keys = [vpn.psk for vpn in plan.vpns if vpn.psk is not None]
    keys += [peer.password for peer in plan.cloud_peers if peer.password is not None]
    secrets = dict.fromkeys(placeholder(key).strip("'") for key in keys)
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "file": Admitted(file),
        "secrets": [Admitted(secret) for secret in secrets],
        "port": lambda item: Admitted(names.port(item.name).removeprefix("interfaces ")),
        "vti": lambda vpn: Admitted(names.vti(vpn.name)),
        "peer": lambda vpn: Admitted(names.label(vpn.name)),
        "routed": [vpn for vpn in plan.vpns if vpn.binding is not Binding.POLICY],
    }
    return template.load(Path(__file__).parent, "README.md.j2").render(values)
