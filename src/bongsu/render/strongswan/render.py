"""Renders strongSwan's files for a node that runs it.

    /etc/swanctl/conf.d/bongsu.conf            connections
    /etc/swanctl/conf.d/bongsu-secrets.conf    pre-shared keys, as markers
    /etc/swanctl/private/bongsu-VPN.pem        private keys, as markers
    /etc/strongswan.d/bongsu.conf              charon's settings

Never contains a secret: see bongsu.render.secret.
"""

from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.node import NodePlan
from bongsu.render.strongswan.connection import connection, key_files, repeated_identities, secret
from bongsu.render.strongswan.sections import document
from bongsu.render.strongswan.settings import charon_settings, log_settings, plugin_settings
from bongsu.render.text import interface

DIRECTORY = "/etc/swanctl"
CONNECTIONS = f"{DIRECTORY}/conf.d/bongsu.conf"
SECRETS = f"{DIRECTORY}/conf.d/bongsu-secrets.conf"
SETTINGS = "/etc/strongswan.d/bongsu.conf"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{path: text}`; nothing for a node without VPN tunnels, or with another IKE daemon."""
    if not plan.vpns or plan.ipsec is not IpsecDaemon.STRONGSWAN:
        return {}
    repeated = repeated_identities(plan.vpns)
    connections = {
        interface(tunnel.name): connection(tunnel, repeated=repeated(tunnel))
        for tunnel in plan.vpns
    }
    settings = {"charon": {**charon_settings(plan.vpns), **log_settings(), **plugin_settings()}}
    secrets = {f"ike-{interface(tunnel.name)}": secret(tunnel) for tunnel in plan.vpns}
    return {
        CONNECTIONS: document(header, {"connections": connections}),
        SECRETS: document(header, {"secrets": secrets}),
        SETTINGS: document(header, settings),
        **key_files(plan.vpns, DIRECTORY, header),
    }
