"""Oracle Cloud Infrastructure: Site-to-Site VPN at a dynamic routing gateway (DRG)."""

from bongsu.plan.cloud.profile import Accepted, CloudProfile

_CBC = frozenset({"aes128", "aes192", "aes256"})
_GCM = frozenset({"aes128gcm16", "aes192gcm16", "aes256gcm16"})

OCI = CloudProfile(
    title="Oracle Cloud Infrastructure",
    gateway="Site-to-Site VPN (DRG)",
    asn=31898,
    tunnels=2,
    ike_versions=frozenset({1, 2}),
    ike=Accepted(
        _CBC,
        frozenset({"sha256", "sha384", "sha1"}),
        frozenset({"modp1024", "modp1536", "modp2048", "ecp256", "ecp384"}),
    ),
    esp=Accepted(
        _CBC | _GCM,
        frozenset({"sha256", "sha1"}),
        frozenset({"modp1024", "modp1536", "modp2048", "ecp256", "ecp384", "modp2048s256"}),
    ),
    ike_proposals=("aes256-sha384-ecp384",),
    esp_proposals=("aes256gcm16-ecp384",),
    ike_lifetime_s=28800,
    esp_lifetime_s=3600,
    inside=None,
    psk=r"[A-Za-z0-9]{1,64}",
    bfd=False,
    source="Oracle: Supported IPSec Parameters",
)
