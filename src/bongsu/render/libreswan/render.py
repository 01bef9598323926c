"""Renders Libreswan's files for a node that runs it.

    /etc/ipsec.d/bongsu.conf       connections, and what `config setup` needs for them
    /etc/ipsec.d/bongsu.secrets    pre-shared keys, as markers

Certificates lie in Libreswan's NSS database, where the agent puts them; which they are says a file that
it writes (bongsu.render.libreswan.certificates). Never contains a secret: see bongsu.render.secret.
"""

from bongsu.model.base import Address
from bongsu.model.vpn import Binding, IpsecDaemon
from bongsu.plan.libreswan import common_group, refusals
from bongsu.plan.node import NodePlan
from bongsu.plan.selectors import Child, children
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render import text
from bongsu.render.libreswan.algorithms import esp, forward_secrecy, ike
from bongsu.render.libreswan.certificates import section_name
from bongsu.render.libreswan.identity import identity
from bongsu.render.secret import marker
from bongsu.render.text import RenderError

CONNECTIONS = "/etc/ipsec.d/bongsu.conf"
SECRETS = "/etc/ipsec.d/bongsu.secrets"

AUTO = {"initiate": "start", "respond": "add", "on-demand": "ondemand"}
ACTIONS = {"restart": "restart", "clear": "clear", "hold": "hold"}

LONG_S = 1800
"""Keys are renewed up to 18 minutes before their end, so those of a shorter life at once, and again."""

Options = dict[str, str]


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}`; nothing for a node without VPN tunnels, or with another IKE daemon."""
    if not plan.vpns or plan.ipsec is not IpsecDaemon.LIBRESWAN:
        return {}
    if reasons := [str(item) for item in refusals(plan)]:
        raise RenderError(f"{plan.node} runs Libreswan: " + "; ".join(reasons))
    lines = [f"# {line}" for line in header]
    if setup := _setup(plan):
        lines += ["", "config setup", *_said(setup)]
    for tunnel in plan.vpns:
        if left_out := common_group(tunnel.esp_proposals)[1]:
            lines += ["", "# Libreswan has one group for all that it proposes for ESP. Left out:"]
            lines += [f"#   {proposal}" for proposal in left_out]
        for child in _children(tunnel):
            lines += ["", f"conn {child.name}", *_said(connection(plan, tunnel, child))]
    keys = [line for line in dict.fromkeys(_secret(tunnel) for tunnel in plan.vpns) if line]
    secrets = [*(f"# {line}" for line in header), "", *keys]
    return {CONNECTIONS: "\n".join(lines) + "\n", SECRETS: "\n".join(secrets) + "\n"}


def connection(plan: NodePlan, tunnel: VpnTunnelPlan, child: Child) -> Options:
    """The options of one `conn`."""
    version2 = tunnel.ike_version == 2
    options = {
        "left": text.address(tunnel.local),
        "leftid": identity(tunnel.local_id),
        "right": text.address(tunnel.remote),
        "rightid": identity(tunnel.remote_id),
        **_authentication(tunnel),
        "leftsubnet": text.address(child.local[0]),
        "rightsubnet": text.address(child.remote[0]),
        "auto": AUTO[tunnel.start],
        **_binding(plan, tunnel),
        "ikev2": "yes" if version2 else "no",
        "ike": ike(tunnel.ike_proposals),
        "phase2alg": esp(common_group(tunnel.esp_proposals)[0]),
    }
    if not forward_secrecy(tunnel.esp_proposals[:1]):
        options["pfs"] = "no"
    if tunnel.encapsulation:
        options["encapsulation"] = "yes"
    options["ikelifetime"] = f"{tunnel.ike_lifetime_s}s"
    options["salifetime"] = f"{tunnel.esp_lifetime_s}s"
    if (shorter := min(tunnel.ike_lifetime_s, tunnel.esp_lifetime_s)) < LONG_S:
        options["rekeymargin"] = f"{shorter // 10}s"
    return options | _dpd(tunnel, version2=version2)


def _setup(plan: NodePlan) -> Options:
    setup = {}
    if any(tunnel.ike_version == 1 for tunnel in plan.vpns):
        # Since 4.0 it is refused unless asked for.
        setup["ikev1-policy"] = "accept"
    remotes = [tunnel.remote_id for tunnel in plan.vpns]
    if len(set(remotes)) < len(remotes):
        # Two gateways of one name are not one that has moved.
        setup["uniqueids"] = "no"
    return setup


def _authentication(tunnel: VpnTunnelPlan) -> Options:
    if tunnel.certificate is None:
        return {"authby": "secret"}
    return {
        "also": section_name(tunnel.vpn),
        "leftsendcert": "always",
        "rightrsasigkey": "%cert",
    }


def _binding(plan: NodePlan, tunnel: VpnTunnelPlan) -> Options:
    name, mark = text.interface(tunnel.name), text.number(tunnel.mark)
    if tunnel.binding is Binding.POLICY:
        return {}
    if tunnel.binding is Binding.VTI:
        options = {
            "mark": f"{mark}/0xffffffff",
            "vti-interface": name,
            "vti-routing": "yes" if tunnel.vti_routing else "no",
        }
        if tunnel.inside is not None:
            options["leftvti"] = text.address(tunnel.inside)
        return options
    # Selectors of several tunnels are the same, 0.0.0.0/0: the interface tells them apart. Without
    # the next hop, Libreswan would look for a way to the far end inside its own tunnel.
    options = {"ipsec-interface": mark, "overlapip": "yes"}
    if (gateway := _gateway(plan, tunnel)) is not None:
        options["leftnexthop"] = text.address(gateway)
    return options


def _gateway(plan: NodePlan, tunnel: VpnTunnelPlan) -> Address | None:
    """The router towards the far end; None where it is on the link."""
    underlay = plan.interface(tunnel.underlay)
    if any(tunnel.remote in own.network for own in underlay.addresses):
        return None
    return next((g for g in underlay.gateways if g.version == tunnel.remote.version), None)


def _dpd(tunnel: VpnTunnelPlan, *, version2: bool) -> Options:
    if tunnel.dpd is None:
        return {}
    # IKEv2 has no such time of its own: a request that nobody answers is given up after this.
    timeout = ("retransmit-timeout", "s") if version2 else ("dpdtimeout", "")
    return {
        "dpddelay": text.number(tunnel.dpd.delay_s),
        timeout[0]: text.number(tunnel.dpd.timeout_s) + timeout[1],
        "dpdaction": ACTIONS[tunnel.dpd.action],
    }


def _children(tunnel: VpnTunnelPlan) -> list[Child]:
    # A `conn` has one subnet on each side.
    if not (found := children(tunnel, pairs=True)):
        raise RenderError(f"{tunnel.name}: no family has networks on both sides")
    return found


def _secret(tunnel: VpnTunnelPlan) -> str:
    if tunnel.psk is None:
        return ""
    ends = f"{identity(tunnel.local_id)} {identity(tunnel.remote_id)}"
    return f'{ends} : PSK "{marker(tunnel.psk)}"'


def _said(options: Options) -> list[str]:
    return [f"    {key}={value}" for key, value in options.items()]
