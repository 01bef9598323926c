"""IPsec of a GRE tunnel: what both ends agree on, and how each end applies it."""

from enum import StrEnum
from typing import Literal

from bongsu.model.base import Model, SecretRef


class Protection(StrEnum):
    """Where an end decides what to encrypt. The two meet on the wire, but not for what a node
    forwards on its own account, such as the answer to a keepalive."""

    TUNNEL = "tunnel-protection"
    """At the tunnel interface: what the tunnel sends (a route-based VPN; VTI, XFRM interface)."""
    MAP = "crypto-map"
    """At the physical interface: every packet that matches, whoever sends it (policy-based)."""


class Ipsec(Model):
    """ESP around the tunnel's outer packets, with keys by IKE."""

    psk: SecretRef
    """Pre-shared key, by reference."""
    ike: Literal[1, 2] = 2
    mode: Literal["tunnel", "transport"] = "tunnel"
    encryption: Literal["aes128", "aes256"] = "aes256"
    integrity: Literal["sha256", "sha384"] = "sha256"
    group: Literal[14, 19, 20] = 19
    """Diffie-Hellman group (RFC 3526, RFC 5903)."""
