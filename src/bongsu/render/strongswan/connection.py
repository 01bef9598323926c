"""One tunnel -> its connection and its secret, as swanctl.conf(5) (5.9) has them.

Only what differs from swanctl's defaults is said.
"""

from collections.abc import Callable

from bongsu.model.base import Prefix
from bongsu.model.vpn import Binding, Certificate, Dpd
from bongsu.plan.selectors import Child, children
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render import text
from bongsu.render.secret import marker
from bongsu.render.strongswan.sections import Settings
from bongsu.render.text import RenderError

REKEY_AT = 0.9
"""Of a lifetime: strongSwan's own proportion. The whole lifetime is what the far end is told."""

PRIORITY, PRIORITY_BIT = 400_000, 512
"""charon's own priority of an ESP policy for any address, and what each bit of a prefix takes off it."""

START = {"initiate": "start", "respond": None, "on-demand": "trap"}
LOST = {"restart": "restart", "clear": None, "hold": "trap"}


def connection(
    tunnel: VpnTunnelPlan,
    *,
    repeated: bool = False,
    remote_port: int | None = None,
    interface: bool = True,
    traps: bool = True,
) -> Settings:
    """`connections.NAME`. Raises RenderError for a tunnel that cannot be negotiated.

    repeated: another tunnel has the same two identities, and must not be taken for its old self.
    interface: policies belong to the tunnel's VTI or XFRM interface.
    traps: packets may wake the daemon; where they cannot, on-demand starts at once.
    """
    name = text.interface(tunnel.name)
    negotiated = children(tunnel)
    if not negotiated:
        raise RenderError(f"{name}: no family has networks on both sides")
    initiates = tunnel.start != "respond"
    version2 = tunnel.ike_version == 2
    rekey = int(tunnel.ike_lifetime_s * REKEY_AT)
    return {
        "version": tunnel.ike_version,
        "local_addrs": text.address(tunnel.local),
        "remote_addrs": text.address(tunnel.remote),
        "remote_port": remote_port if initiates else None,
        "proposals": ",".join(tunnel.ike_proposals),
        "encap": "yes" if tunnel.encapsulation else None,
        # The addresses are stated: nobody roams here (RFC 4555).
        "mobike": "no" if version2 else None,
        **_dpd(tunnel.dpd, version2=version2),
        # For ever: a gateway that was away for a day is called again.
        "keyingtries": 0 if initiates else None,
        "unique": "never" if repeated else None,
        "rekey_time": f"{rekey}s",
        "over_time": f"{tunnel.ike_lifetime_s - rekey}s",
        **_certificates(tunnel.certificate),
        "local": {
            "auth": "pubkey" if tunnel.certificate else "psk",
            "id": text.identity(tunnel.local_id),
            "certs": text.path(tunnel.certificate.certificate) if tunnel.certificate else None,
        },
        "remote": {
            "auth": "pubkey" if tunnel.certificate else "psk",
            "id": text.identity(tunnel.remote_id),
            "cacerts": text.path(tunnel.certificate.ca) if tunnel.certificate else None,
        },
        "children": {
            child.name: _child(tunnel, child, interface=interface, traps=traps)
            for child in negotiated
        },
    }


def secret(tunnel: VpnTunnelPlan) -> Settings | None:
    """`secrets.ike-NAME`: the marker of the pre-shared key, for exactly the two identities."""
    if tunnel.psk is None:
        return None
    return {
        "id-local": text.identity(tunnel.local_id),
        "id-remote": text.identity(tunnel.remote_id),
        "secret": marker(tunnel.psk),
    }


def key_files(tunnels: list[VpnTunnelPlan], directory: str, header: list[str]) -> dict[str, str]:
    """The private keys of certificates, `{path: text}`: a marker for each connection's.

    swanctl(8) looks for keys in `private` beside the file that it loads, and nowhere else.
    """
    lines = [f"# {line}" for line in header]
    return {
        f"{directory}/private/bongsu-{text.name(tunnel.vpn)}.pem": "\n".join(
            [*lines, marker(tunnel.certificate.key), ""]
        )
        for tunnel in tunnels
        if tunnel.certificate is not None
    }


def repeated_identities(tunnels: list[VpnTunnelPlan]) -> Callable[[VpnTunnelPlan], bool]:
    """Tells whether another tunnel has the same two identities."""
    pairs = [(t.local_id, t.remote_id) for t in tunnels]
    return lambda tunnel: pairs.count((tunnel.local_id, tunnel.remote_id)) > 1


def _child(tunnel: VpnTunnelPlan, child: Child, *, interface: bool, traps: bool) -> Settings:
    mark = text.number(tunnel.mark)
    vti = interface and tunnel.binding is Binding.VTI
    xfrm = interface and tunnel.binding is Binding.XFRM
    start = START[tunnel.start]
    lost = None if tunnel.dpd is None else LOST[tunnel.dpd.action]
    if not traps:
        start, lost = (each.replace("trap", again) if each else None
                       for each, again in ((start, "start"), (lost, "restart")))  # fmt: skip
    return {
        "local_ts": _selectors(child.local),
        "remote_ts": _selectors(child.remote),
        "esp_proposals": ",".join(tunnel.esp_proposals),
        "start_action": start,
        "close_action": start,
        "dpd_action": lost,
        "rekey_time": f"{int(tunnel.esp_lifetime_s * REKEY_AT)}s",
        "life_time": f"{tunnel.esp_lifetime_s}s",
        "mark_in": mark if vti else None,
        "mark_out": mark if vti else None,
        "if_id_in": mark if xfrm else None,
        "if_id_out": mark if xfrm else None,
        "priority": _priority(tunnel, child) if interface else None,
    }


def _priority(tunnel: VpnTunnelPlan, child: Child) -> int | None:
    """Of a standby's policies: just behind what charon gives those of the active one (5.9, TS of all
    protocols). Of two with the same selectors the one that came last would be used otherwise.
    """
    if tunnel.binding is not Binding.POLICY or tunnel.rank == 0:
        return None
    length = min(p.prefixlen for p in child.local) + min(p.prefixlen for p in child.remote)
    return PRIORITY - PRIORITY_BIT * length + tunnel.rank


def _dpd(dpd: Dpd | None, *, version2: bool) -> Settings:
    if dpd is None:
        return {}
    # IKEv2 has no such time: its retransmissions decide, see settings.
    return {
        "dpd_delay": f"{dpd.delay_s}s",
        "dpd_timeout": None if version2 else f"{dpd.timeout_s}s",
    }


def _certificates(certificate: Certificate | None) -> Settings:
    # A cloud seldom asks for what it needs.
    return {"send_cert": "always"} if certificate is not None else {}


def _selectors(prefixes: tuple[Prefix, ...]) -> str:
    return ",".join(text.address(prefix) for prefix in prefixes)
