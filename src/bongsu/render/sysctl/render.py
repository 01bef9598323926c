"""Renders /etc/sysctl.d/60-bongsu.conf. Keys of uplinks and LANs are the machine's own, untouched.

Redirects are the exception, on a gateway of a VPN: it often stands on the very link of the hosts it
forwards for. There it would tell them of a way past the tunnel, and could be told of one.

What opens something is set on the tunnel that needs it and nowhere else: accept_local on all
interfaces would let anybody send with this machine's own addresses as source.

Keys are written with slashes (sysctl.d(5)): an interface name may hold dots.
"""

from dataclasses import dataclass

from bongsu.model.node import Role
from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.relay import RelayPlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.text import interface

PATH = "/etc/sysctl.d/60-bongsu.conf"


@dataclass(frozen=True)
class Setting:
    """One kernel setting."""

    key: str
    """Path below /proc/sys."""
    value: int
    optional: bool = False
    """The key does not exist in every kernel and namespace; written with a leading `-`."""

    @property
    def line(self) -> str:
        return f"{'-' if self.optional else ''}{self.key} = {self.value}"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}`, read by systemd-sysctl and by sysctl(8)."""
    lines = [f"# {line}" for line in header]
    lines += ["", *(setting.line for setting in machine_settings(plan))]
    if plan.relay is not None:
        lines += ["", *(setting.line for setting in relay_settings(plan.relay))]
    for tunnel in plan.tunnels:
        lines += ["", *(setting.line for setting in tunnel_settings(tunnel))]
    for vpn in plan.vpns:
        lines += ["", *(setting.line for setting in vpn_settings(vpn))]
    return {PATH: "\n".join(lines) + "\n"}


def settings(plan: NodePlan) -> list[Setting]:
    """Everything in the file, in its order: those of the machine, of the relay, then of each tunnel."""
    of_tunnels = [setting for tunnel in plan.tunnels for setting in tunnel_settings(tunnel)]
    of_vpns = [setting for vpn in plan.vpns for setting in vpn_settings(vpn)]
    relayed = relay_settings(plan.relay) if plan.relay is not None else []
    return machine_settings(plan) + relayed + of_tunnels + of_vpns


def machine_settings(plan: NodePlan) -> list[Setting]:
    """What has no interface. Forwarding comes first: writing it resets settings of interfaces."""
    families = _forwarded(plan)
    found = []
    if 4 in families:
        found.append(Setting("net/ipv4/ip_forward", 1))
        # The kernel ORs it with the interface's: with `all` on, a tunnel's own 0 means nothing.
        found.append(Setting("net/ipv4/conf/all/send_redirects", 0))
    if 6 in families:
        found.append(Setting("net/ipv6/conf/all/forwarding", 1))
        found += _router_advertisements(plan)
    if plan.vpns:
        found += _no_redirects(plan, families)
    filters = [tunnel.rpf for tunnel in plan.tunnels]
    if "strict" in filters + [t.rpf for t in plan.vpns if t.binding is not Binding.POLICY]:
        # The greater of this and the interface's decides, and 2 is looser than 1. The agent first
        # gives the other interfaces what they lose here.
        found.append(Setting("net/ipv4/conf/all/rp_filter", 0))
    if plan.tunnels:
        # No gre0, gretap0, ip6gre0 that would listen to anybody. Absent in a namespace of its own.
        found.append(Setting("net/core/fb_tunnels_only_for_init_net", 2, optional=True))
    return found


def relay_settings(relay: RelayPlan) -> list[Setting]:
    """The relay asks for the way as if its packets came from `lo`, and is told one only where those
    would be forwarded. Of the machine's other interfaces nothing is forwarded for its sake.
    """
    families = {peer.local.version for peer in relay.peers}
    families |= {item.off_address.version for item in relay.accelerators}
    return [Setting(f"net/ipv{family}/conf/lo/forwarding", 1) for family in sorted(families)]


def tunnel_settings(tunnel: TunnelPlan) -> list[Setting]:
    """Settings of a tunnel's interface; they can be written once it exists."""
    name = interface(tunnel.name)
    v4, v6 = f"net/ipv4/conf/{name}", f"net/ipv6/conf/{name}"
    found = [
        # Loose (RFC 3704): the whole world's addresses arrive at home by more than one tunnel. And
        # strict would drop the far end's keepalive, whose source is our own address.
        Setting(f"{v4}/rp_filter", 1 if tunnel.rpf == "strict" else 2),
        Setting(f"{v4}/accept_redirects", 0),
        Setting(f"{v4}/send_redirects", 0),
        Setting(f"{v4}/ignore_routes_with_linkdown", 1),
    ]
    if tunnel.peer_keepalive is not None and tunnel.local.version == 4:
        # The far end's keepalive comes out of the tunnel with our own source address, to be
        # forwarded back. Only here: on `all` it would open every interface to spoofed packets.
        found.append(Setting(f"{v4}/accept_local", 1))
    if any(address.version == 6 for address in tunnel.addresses):
        found += [
            Setting(f"{v6}/accept_ra", 0),
            Setting(f"{v6}/accept_redirects", 0),
            Setting(f"{v6}/ignore_routes_with_linkdown", 1),
        ]
    return found


def vpn_settings(tunnel: VpnTunnelPlan) -> list[Setting]:
    """Settings of an IPsec tunnel's interface, whichever kind the agent makes; none without one."""
    if tunnel.binding is Binding.POLICY:
        return []
    name = interface(tunnel.name)
    v4, v6 = f"net/ipv4/conf/{name}", f"net/ipv6/conf/{name}"
    found = [
        # Loose (RFC 3704): with two tunnels up, answers come by the one that was not asked.
        Setting(f"{v4}/rp_filter", 1 if tunnel.rpf == "strict" else 2),
        Setting(f"{v4}/accept_redirects", 0),
        Setting(f"{v4}/send_redirects", 0),
        Setting(f"{v4}/ignore_routes_with_linkdown", 1),
    ]
    if tunnel.binding is Binding.VTI:
        # The VTI has checked the packet's policy by its mark; without the mark it would fail now.
        found.append(Setting(f"{v4}/disable_policy", 1))
    if 6 in {prefix.version for prefix in tunnel.local_networks} or _speaks(tunnel, 6):
        found += [
            Setting(f"{v6}/accept_ra", 0),
            Setting(f"{v6}/accept_redirects", 0),
            Setting(f"{v6}/ignore_routes_with_linkdown", 1),
        ]
        if tunnel.binding is Binding.VTI:
            found.append(Setting(f"{v6}/disable_policy", 1))
    return found


def _speaks(tunnel: VpnTunnelPlan, family: int) -> bool:
    return tunnel.inside is not None and tunnel.inside.version == family


def _no_redirects(plan: NodePlan, families: set[int]) -> list[Setting]:
    """For all interfaces, those to come, and the uplinks that tunnels speak from."""
    uplinks = dict.fromkeys(interface(tunnel.underlay) for tunnel in plan.vpns)
    found = []
    for name in ("all", "default", *uplinks):
        found.append(Setting(f"net/ipv4/conf/{name}/accept_redirects", 0))
        if name != "all":
            found.append(Setting(f"net/ipv4/conf/{name}/send_redirects", 0))
        if 6 in families:
            found.append(Setting(f"net/ipv6/conf/{name}/accept_redirects", 0))
    return found


def _forwarded(plan: NodePlan) -> set[int]:
    carried = [item.prefix for item in plan.announcements] + [item.prefix for item in plan.home]
    # Sending a keepalive back is forwarding, too.
    reflected = {t.local.version for t in plan.tunnels if t.peer_keepalive is not None}
    # Nor does the kernel tell the data plane a way where it does not forward (bpf_fib_lookup).
    routed = {t.local.version for t in plan.tunnels if t.other_underlays}
    joined = {p.version for t in plan.vpns for p in t.local_networks + t.remote_networks}
    return {prefix.version for prefix in carried} | reflected | routed | joined | _router(plan)


def _router(plan: NodePlan) -> set[int]:
    if plan.role is not Role.ROUTER:
        return set()
    addresses = [address for each in plan.interfaces for address in each.addresses]
    addresses += [address for tunnel in plan.tunnels for address in tunnel.addresses]
    return {address.version for address in addresses}


def _router_advertisements(plan: NodePlan) -> list[Setting]:
    """Forwarding turns router advertisements off: an uplink that lives by them would lose IPv6."""
    return [
        Setting(f"net/ipv6/conf/{interface(uplink.name)}/accept_ra", 2)
        for uplink in plan.uplinks()
        if any(address.version == 6 for address in uplink.addresses)
        and not any(gateway.version == 6 for gateway in uplink.gateways)
    ]
