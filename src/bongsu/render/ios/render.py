"""Renders what a person needs to make a Cisco router (IOS 15, IOS XE) a node of a network.

    /ios/NODE.cfg    the configuration, to be pasted or copied
    /ios/README.md   what to fill in, how to load it, and what to look at afterwards

Nothing here is applied by an agent, and no secret is in it. Raises RenderError for a plan that IOS
cannot carry out.
"""

from collections.abc import Iterator
from pathlib import Path

from bongsu.plan.ios import refusals
from bongsu.plan.node import NodePlan
from bongsu.render import template
from bongsu.render.ios.access import access_lists
from bongsu.render.ios.bgp import bgp, bgp_filters, vpn_routes
from bongsu.render.ios.crypto import crypto
from bongsu.render.ios.interfaces import interfaces, loopbacks
from bongsu.render.ios.routing import route_maps, static_routes, vrfs
from bongsu.render.ios.words import Names, Section, placeholder
from bongsu.render.template import Admitted
from bongsu.render.text import RenderError, name

DIRECTORY = "/ios"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}` of the two files."""
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} is an IOS: " + "; ".join(reasons))
    names = Names(plan)
    file = f"{name(plan.node)}.cfg"
    return {
        f"{DIRECTORY}/README.md": _readme(plan, names, file, header),
        f"{DIRECTORY}/{file}": _configuration(plan, names, header),
    }


def _configuration(plan: NodePlan, names: Names, header: list[str]) -> str:
    # Without the header's last line: a person does edit this file, where secrets are to be put.
    lines = [f"! {line}" for line in header[:2]]
    for section in _sections(plan, names):
        lines += ["!", *section]
    return "\n".join([*lines, "!", "end"]) + "\n"


def _sections(plan: NodePlan, names: Names) -> Iterator[Section]:
    """In the order of loading: everything stands before it is named."""
    yield [f"hostname {name(plan.node)}"]
    yield from vrfs(plan)
    if _routes_ipv6(plan):
        yield ["ipv6 unicast-routing"]
    yield from loopbacks(plan, names)
    yield from crypto(plan, names)
    yield from access_lists(plan, names)
    yield from route_maps(plan)
    yield from bgp_filters(plan, names)
    yield from interfaces(plan, names)
    if routes := static_routes(plan, names) + vpn_routes(plan, names):
        yield routes
    yield from bgp(plan, names)


def _routes_ipv6(plan: NodePlan) -> bool:
    addresses = [own for item in plan.interfaces for own in item.addresses]
    addresses += [own for tunnel in plan.tunnels for own in tunnel.addresses]
    return any(own.version == 6 for own in addresses)


def _readme(plan: NodePlan, names: Names, file: str, header: list[str]) -> str:
    keys = [t.ipsec.psk for t in plan.tunnels if t.ipsec is not None]
    keys += [vpn.psk for vpn in plan.vpns if vpn.psk is not None]
    keys += [peer.password for peer in plan.cloud_peers if peer.password is not None]
    secrets = dict.fromkeys(placeholder(key) for key in keys)
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "file": Admitted(file),
        "secrets": [Admitted(secret) for secret in secrets],
        "port": lambda item: Admitted(names.port(item.name)),
        "number": lambda tunnel: Admitted(names.tunnel(tunnel.name)),
        "stated": [tunnel for tunnel in plan.tunnels if tunnel.inbound is not None],
        "nonce": any(t.peer_keepalive is not None and t.peer_keepalive.nonce for t in plan.tunnels),
    }
    return template.load(Path(__file__).parent, "README.md.j2").render(values)
