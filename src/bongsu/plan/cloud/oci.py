"""Oracle Cloud Infrastructure: Site-to-Site VPN at a dynamic routing gateway (DRG).

The algorithms are those that its API enumerates; of the groups Oracle recommends 20 for IKE. For its
government realms the list is shorter, and this profile is not theirs.
"""

from ipaddress import IPv4Network

from bongsu.plan.cloud.profile import Accepted, CloudProfile

_CBC = frozenset({"aes128", "aes192", "aes256"})
_GCM = frozenset({"aes128gcm16", "aes192gcm16", "aes256gcm16"})
_GROUPS = frozenset({"modp1024", "modp1536", "modp2048", "ecp256", "ecp384", "modp2048s256"})

OCI = CloudProfile(
    title="Oracle Cloud Infrastructure",
    gateway="Site-to-Site VPN (DRG)",
    asn=31898,
    asn_fixed=True,
    tunnels=2,
    ike_versions=frozenset({1, 2}),
    ike=Accepted(_CBC, frozenset({"sha256", "sha384", "sha1"}), _GROUPS),
    esp=Accepted(_CBC | _GCM, frozenset({"sha256", "sha1"}), _GROUPS),
    ike_proposals=("aes256-sha384-ecp384",),
    esp_proposals=("aes256gcm16-ecp384",),
    ike_lifetime_s=28800,
    esp_lifetime_s=3600,
    inside=None,
    # "Only numbers, letters, and spaces are allowed." A bound is not published; 64 is what it makes.
    psk=r"[A-Za-z0-9 ]+",
    # Announced for FastConnect (April 2022), and nowhere for tunnels.
    bfd=False,
    source="Oracle: Supported IPSec Parameters; API reference, PhaseOneConfigDetails and "
    "PhaseTwoConfigDetails, UpdateIPSecConnectionTunnelSharedSecretDetails; VPN Connection to AWS "
    "(inside ranges it does not allow); Working with Site-to-Site VPN (/30 or /31)",
    inside_lengths=frozenset({30, 31}),
    reserved=tuple(
        IPv4Network(f"169.254.{third}.0/24")
        for first in (10, 100, 192)
        for third in range(first, first + 10)
    ),
)
