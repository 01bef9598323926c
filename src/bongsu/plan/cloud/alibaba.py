"""Alibaba Cloud: IPsec-VPN at a VPN Gateway."""

from ipaddress import IPv4Network

from bongsu.plan.cloud.profile import Accepted, CloudProfile

_ENCRYPTION = frozenset({"aes128", "aes192", "aes256", "des", "3des"})
_HASHES = frozenset({"md5", "sha1", "sha256", "sha384", "sha512"})
_GROUPS = frozenset({"modp768", "modp1024", "modp1536", "modp2048"})

ALIBABA = CloudProfile(
    title="Alibaba Cloud",
    gateway="VPN Gateway (IPsec-VPN connection)",
    asn=45104,
    tunnels=2,
    ike_versions=frozenset({1, 2}),
    ike=Accepted(_ENCRYPTION, _HASHES, _GROUPS),
    esp=Accepted(_ENCRYPTION, _HASHES, _GROUPS),
    ike_proposals=("aes256-sha256-modp2048",),
    esp_proposals=("aes256-sha256-modp2048",),
    ike_lifetime_s=86400,
    esp_lifetime_s=86400,
    inside=IPv4Network("169.254.0.0/16"),
    psk=None,
    bfd=False,
    source="Alibaba Cloud: Create and manage IPsec-VPN connections",
)
