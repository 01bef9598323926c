"""TLS contexts of the management network: version 1.3 and no other, one authority and no other."""

import ssl
from pathlib import Path

ALPN = "h2"


def tower_context(identity: Path, authority_pem: str | None) -> ssl.SSLContext:
    """The tower's side. With an authority, whoever comes must have a certificate of it."""
    context = _only_1_3(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    if authority_pem is not None:
        context.load_verify_locations(cadata=authority_pem)
        context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would bring back a certificate that has been revoked or has ended since.
    context.num_tickets = 0
    return context


def node_context(authority_pem: str, identity: Path | None = None) -> ssl.SSLContext:
    """A node's side: the tower is held to this authority; with an identity, the node shows its own."""
    context = _only_1_3(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority_pem)
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def stranger_context() -> ssl.SSLContext:
    """A newcomer's first look at a tower, whose authority is yet to be compared with the token's."""
    context = _only_1_3(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _only_1_3(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    return context
