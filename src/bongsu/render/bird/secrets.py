"""Secrets in bird.conf: named, never written.

bird.conf includes SECRETS_PATH and uses string constants from it. The agent, which alone can
resolve a reference, writes that file on the node: one `define NAME = "value";` for each constant.
"""

from bongsu.model.base import SecretRef
from bongsu.plan.node import ExternalPeer, NodePlan
from bongsu.render.text import symbol

SECRETS_PATH = "/etc/bird/bongsu-secrets.conf"


def secret_constants(plan: NodePlan) -> dict[str, SecretRef]:
    """Constants that bird.conf expects in SECRETS_PATH, and where each value is found.

    Empty if bird.conf includes no such file.
    """
    return {
        password_constant(peer): peer.password
        for peer in plan.external
        if peer.password is not None
    }


def password_constant(peer: ExternalPeer) -> str:
    """Name of the constant that holds the session's TCP MD5 password (RFC 2385)."""
    return f"password_{symbol(peer.name)}"
