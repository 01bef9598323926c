"""Secrets in bird.conf: named, never written.

bird.conf includes SECRETS_PATH and uses string constants from it. The agent, which alone can
resolve a reference, writes that file on the node: one `define NAME = "value";` for each constant.
"""

from bongsu.model.base import SecretRef
from bongsu.plan.node import ExternalPeer, NodePlan
from bongsu.plan.vpn import CloudPeer
from bongsu.render.text import symbol

SECRETS_PATH = "/etc/bird/bongsu-secrets.conf"


def secret_constants(plan: NodePlan) -> dict[str, SecretRef]:
    """Constants that bird.conf expects in SECRETS_PATH, and where each value is found.

    Empty if bird.conf includes no such file.
    """
    peers: list[ExternalPeer | CloudPeer] = [*plan.external, *plan.cloud_peers]
    return {password_constant(p): p.password for p in peers if p.password is not None}


def password_constant(peer: ExternalPeer | CloudPeer) -> str:
    """Name of the constant that holds the session's TCP MD5 password (RFC 2385)."""
    # A neighbor and a tunnel may have one name.
    kind = "cloud_password" if isinstance(peer, CloudPeer) else "password"
    return f"{kind}_{symbol(peer.name)}"
