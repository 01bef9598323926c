"""Renders what the agent needs where the kernel has no ESP: a charon of its own for each tunnel.

    /etc/bongsu/libipsec/TUNNEL.strongswan.conf    STRONGSWAN_CONF of daemon and swanctl
    /etc/bongsu/libipsec/TUNNEL.swanctl.conf       connection, and the pre-shared key as a marker
    /etc/bongsu/libipsec/private/bongsu-VPN.pem    private keys, as markers

kernel-libipsec (a plugin of strongSwan's charon) encrypts in the daemon and speaks to the kernel by
a TUN device. It chooses an SA by its traffic selectors alone, so a daemon can hold one tunnel only;
and it sends ESP in UDP only, so the ports of all but one cannot be 500 and 4500. Written for every
node with VPN tunnels, whatever its kernel: which way is taken, the agent finds out.
"""

from bongsu.model.vpn import Binding
from bongsu.plan.node import NodePlan
from bongsu.plan.slots import IKE_PORTS, NAT_PORTS, TABLES, slots
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.strongswan.connection import connection, key_files, secret
from bongsu.render.strongswan.sections import Settings, document
from bongsu.render.strongswan.settings import charon_settings, log_settings
from bongsu.render.text import RenderError, interface

DIRECTORY = "/etc/bongsu/libipsec"
RUN_DIRECTORY = "/run/bongsu/libipsec"

NAT_PORT = 4500
"""Where a far end is spoken to (RFC 3948)."""

OWN_RULE = 32000
"""Priority of charon's own rule for its table, behind the agent's, which put the tunnels in order."""

NOBODYS_MARK = "0x626f6e67"
"""Of no packet."""

_BY_ROUTE: Settings = {
    # The selectors hold the far end's outer address, 0.0.0.0/0 as they are.
    "kernel-libipsec": {"allow_peer_ts": "yes"},
    # It routes what the selectors say into its device whatever it is told, 0.0.0.0/0 and so its own
    # packets: in a table that only packets of this mark are led to, and none has it. With a policy
    # the selectors decide, and those routes are the way in.
    "kernel-netlink": {"fwmark": NOBODYS_MARK},
}

PLUGINS = (
    "random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints "
    "kernel-libipsec kernel-netlink socket-default vici hmac kdf gcm"
)
"""kernel-libipsec before kernel-netlink: the first that can do ESP does it."""

READING = "random openssl pem pkcs1 pkcs8 x509 pubkey"
"""Plugins by which swanctl reads keys and certificates."""


def ports(plan: NodePlan) -> dict[str, tuple[int, int]]:
    """By tunnel, the daemon's own ports for IKE and for IKE and ESP behind a NAT."""
    found = slots(plan.vpns)
    return {name: (IKE_PORTS + slot, NAT_PORTS + slot) for name, slot in found.items()}


def tables(plan: NodePlan) -> dict[str, int]:
    """By tunnel without an interface, the routing table by which its selectors lead into it."""
    found = slots(plan.vpns)
    return {
        tunnel.name: TABLES + found[tunnel.name]
        for tunnel in plan.vpns
        if tunnel.binding is Binding.POLICY
    }


def vici(tunnel: str) -> str:
    """URI of the daemon's control socket."""
    return f"unix://{RUN_DIRECTORY}/{interface(tunnel)}.vici"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}`, two files for each VPN tunnel."""
    names = [tunnel.name for tunnel in plan.vpns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        # One would take the other's place in every file.
        raise RenderError(f"{plan.node} has two IPsec tunnels called {', '.join(twice)}")
    of_tunnel, table = ports(plan), tables(plan)
    files = key_files(plan.vpns, DIRECTORY, header)
    for tunnel in plan.vpns:
        base = f"{DIRECTORY}/{interface(tunnel.name)}"
        files[f"{base}.strongswan.conf"] = document(
            header, _daemon(tunnel, *of_tunnel[tunnel.name], table.get(tunnel.name))
        )
        files[f"{base}.swanctl.conf"] = document(header, _connection(tunnel))
    return files


def _daemon(tunnel: VpnTunnelPlan, port: int, port_nat_t: int, table: int | None) -> Settings:
    return {
        "charon-systemd": {
            "load": PLUGINS,
            "port": port,
            "port_nat_t": port_nat_t,
            # In one table two tunnels with the same selectors would take each other's route.
            "routing_table": table,
            "routing_table_prio": OWN_RULE if table is not None else None,
            **charon_settings([tunnel]),
            **log_settings(),
            "plugins": {
                "vici": {"socket": vici(tunnel.name)},
                **(_BY_ROUTE if tunnel.binding is not Binding.POLICY else {}),
            },
        },
        # Without the list swanctl tries every plugin there is, and complains of each it has not.
        "swanctl": {"load": READING, "socket": vici(tunnel.name)},
    }


def _connection(tunnel: VpnTunnelPlan) -> Settings:
    name = interface(tunnel.name)
    # ESP is in UDP here in any case: the far end has to be told that a NAT is on the way.
    forced = tunnel.model_copy(update={"encapsulation": True})
    return {
        "connections": {
            # From a port that is not 500, the far end expects 4500's way of writing (RFC 3948).
            name: connection(forced, remote_port=NAT_PORT, interface=False, traps=False)
        },
        "secrets": {f"ike-{name}": secret(tunnel)},
    }
