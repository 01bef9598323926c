"""Renders FRR's files for a node that routes with it.

    /etc/frr/frr.conf                          all daemons (`service integrated-vtysh-config`)
    /etc/frr/{zebra,staticd,bgpd,bfdd}.conf    one each, where the node says so
    /etc/frr/daemons                           which run
    /etc/frr/vtysh.conf                        which of the two ways it is

Passwords are markers. Raises RenderError for what is not given to FRR (bongsu.plan.frr).
"""

from bongsu.model.node import RoutingDaemon
from bongsu.plan.frr import refusals
from bongsu.plan.node import NodePlan
from bongsu.render.frr.bgp import bfd_profiles, bgp
from bongsu.render.frr.static import static_routes
from bongsu.render.frr.words import Section
from bongsu.render.text import RenderError, name

DIRECTORY = "/etc/frr"
INTEGRATED, DAEMONS, VTYSH = (
    f"{DIRECTORY}/{file}" for file in ("frr.conf", "daemons", "vtysh.conf")
)

ALWAYS = ("zebra", "staticd")
"""FRR's own start-up runs these whatever the file says."""

OTHERS = (
    "ospfd", "ospf6d", "ripd", "ripngd", "isisd", "pimd", "pim6d", "ldpd", "nhrpd", "eigrpd",
    "babeld", "sharpd", "pbrd", "fabricd", "vrrpd", "pathd",
)  # fmt: skip
"""Daemons of FRR 8 that nothing here needs."""


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}`; nothing for a node that routes with another daemon."""
    if plan.routing is not RoutingDaemon.FRR:
        return {}
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} routes with FRR: " + "; ".join(reasons))
    parts = _parts(plan)
    if plan.frr_integrated:
        sections = [section for of_daemon in parts.values() for section in of_daemon]
        files = {INTEGRATED: _text(plan, header, sections)}
    else:
        files = {
            f"{DIRECTORY}/{daemon}.conf": _text(plan, header, sections)
            for daemon, sections in parts.items()
        }
    return files | {DAEMONS: _daemons(parts, header), VTYSH: _vtysh(plan, header)}


def _parts(plan: NodePlan) -> dict[str, list[Section]]:
    """By daemon that runs, its sections."""
    parts: dict[str, list[Section]] = {"zebra": [], "staticd": [static_routes(plan)]}
    if profiles := bfd_profiles(plan):
        parts["bfdd"] = [profiles]
    if plan.cloud_peers:
        parts["bgpd"] = bgp(plan)
    return {daemon: [s for s in sections if s] for daemon, sections in parts.items()}


def _text(plan: NodePlan, header: list[str], sections: list[Section]) -> str:
    lines = [f"! {line}" for line in header]
    lines += ["!", "frr defaults traditional", f"hostname {name(plan.node)}"]
    for section in sections:
        lines += ["!", *section]
    return "\n".join([*lines, "!"]) + "\n"


def _daemons(parts: dict[str, list[Section]], header: list[str]) -> str:
    lines = [f"# {line}" for line in header]
    lines += [
        "",
        *(f"{daemon}={'yes' if daemon in parts else 'no'}" for daemon in ("bgpd", "bfdd")),
        *(f"{daemon}=no" for daemon in OTHERS),
        "",
        "vtysh_enable=yes",
        # The terminal of each daemon answers on this machine only.
        'zebra_options="-A 127.0.0.1 -s 90000000"',
        'staticd_options="-A 127.0.0.1"',
        'bgpd_options="-A 127.0.0.1"',
        'bfdd_options="-A 127.0.0.1"',
    ]
    return "\n".join(lines) + "\n"


def _vtysh(plan: NodePlan, header: list[str]) -> str:
    no = "" if plan.frr_integrated else "no "
    lines = [f"! {line}" for line in header]
    return "\n".join([*lines, "!", f"{no}service integrated-vtysh-config", "!"]) + "\n"
