"""Amazon Web Services: Site-to-Site VPN at a virtual private gateway or transit gateway.

Phase 1 takes the groups 2 and 14 to 24, phase 2 group 5 as well. 22 and 23 have no name in
bongsu.model.proposal and are weak (RFC 8247), so they are missing here.
"""

from ipaddress import IPv4Network

from bongsu.plan.cloud.profile import Accepted, CloudProfile

_ENCRYPTION = frozenset({"aes128", "aes256", "aes128gcm16", "aes256gcm16"})
_HASHES = frozenset({"sha1", "sha256", "sha384", "sha512"})
_GROUPS = frozenset(
    {"modp1024", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192", "ecp256", "ecp384",
     "ecp521", "modp2048s256"}
)  # fmt: skip

AWS = CloudProfile(
    title="Amazon Web Services",
    gateway="Site-to-Site VPN (virtual private gateway or transit gateway)",
    asn=64512,
    tunnels=2,
    ike_versions=frozenset({1, 2}),
    ike=Accepted(_ENCRYPTION, _HASHES, _GROUPS),
    esp=Accepted(_ENCRYPTION, _HASHES, _GROUPS | {"modp1536"}),
    ike_proposals=("aes256-sha384-ecp384",),
    esp_proposals=("aes256gcm16-ecp384",),
    ike_lifetime_s=28800,
    esp_lifetime_s=3600,
    inside=IPv4Network("169.254.0.0/16"),
    psk=r"(?!0)[A-Za-z0-9._]{8,64}",
    bfd=False,
    source="AWS: EC2 API reference, VpnTunnelOptionsSpecification; Site-to-Site VPN User Guide, "
    "Tunnel options for your Site-to-Site VPN connection",
    inside_lengths=frozenset({30}),
    reserved=(
        *(IPv4Network(f"169.254.{third}.0/30") for third in range(6)),
        IPv4Network("169.254.169.252/30"),
    ),
    cloud_first=True,
    ike_lifetimes_s=(900, 28800),
    esp_lifetimes_s=(900, 3600),
)
