"""Renders what a person needs to make a pfSense the home of a network.

    /pfsense/README.md      the click path with every value, and a check after each step
    /pfsense/gres.xml       `<gres>` of config.xml
    /pfsense/virtualip.xml  `<virtualip>` of config.xml

Nothing here is applied by an agent. Raises RenderError for a plan that pfSense cannot carry out.
"""

from pathlib import Path

from bongsu.plan.node import NodePlan
from bongsu.plan.pfsense import refusals
from bongsu.render import template, text
from bongsu.render.pfsense.config import (
    description,
    gres_xml,
    inside,
    virtual_ips,
    virtualip_xml,
)
from bongsu.render.template import Admitted
from bongsu.render.text import RenderError

DIRECTORY = "/pfsense"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}` of the three files."""
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} is a pfSense: " + "; ".join(reasons))
    tunnels = sorted(plan.tunnels, key=lambda tunnel: -tunnel.preference)
    values = {
        "header": [Admitted(line) for line in header],
        "plan": plan,
        "tunnels": tunnels,
        "vips": virtual_ips(plan),
        "lans": [interface for interface in plan.interfaces if interface.role == "lan"],
        "uplinks": plan.uplinks(),
        "label": lambda tunnel: Admitted(description(tunnel)),
        "inside": lambda tunnel, family: _admitted(inside(tunnel, family)),
        "families": sorted({item.prefix.version for item in plan.home}),
        "of_family": lambda family: [i.prefix for i in plan.home if i.prefix.version == family],
        "menu": lambda value: Admitted(text.interface(value).upper()),
        "speaks": any(tunnel.bgp or tunnel.bfd for tunnel in plan.tunnels),
    }
    readme = template.load(Path(__file__).parent, "README.md.j2").render(values)
    return {
        f"{DIRECTORY}/README.md": readme,
        f"{DIRECTORY}/gres.xml": gres_xml(plan, header),
        f"{DIRECTORY}/virtualip.xml": virtualip_xml(plan, header),
    }


def _admitted(values: tuple[str, str, str] | None) -> tuple[Admitted, ...] | None:
    return None if values is None else tuple(Admitted(value) for value in values)
