"""Alibaba Cloud: IPsec-VPN at a VPN Gateway or a transit router.

Nothing is published of reserved inside networks, so none is refused.
"""

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
    psk=r"""[A-Za-z0-9~!`@#$%^&*()_\-+={}\[\]|;:\\",.<>/?]{1,100}""",
    # The BGP settings of a tunnel are a CIDR block, an address and an ASN, and nothing else.
    bfd=False,
    source="Alibaba Cloud: API reference, CreateVpnConnection and ModifyVpnAttachmentAttribute; "
    "Create and manage IPsec-VPN connections in dual-tunnel mode; Customer gateway",
    inside_lengths=frozenset({30}),
    ike_lifetimes_s=(0, 86400),
    esp_lifetimes_s=(0, 86400),
)
