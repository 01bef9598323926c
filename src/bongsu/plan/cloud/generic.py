"""A gateway of which nothing is known but what the file says."""

from bongsu.plan.cloud.profile import Accepted, CloudProfile

_UNKNOWN = Accepted(frozenset(), frozenset(), frozenset())

GENERIC = CloudProfile(
    title="Any gateway",
    gateway="the far gateway",
    asn=None,
    tunnels=1,
    ike_versions=frozenset({1, 2}),
    ike=_UNKNOWN,
    esp=_UNKNOWN,
    ike_proposals=("aes256-sha256-ecp256", "aes256-sha256-modp2048"),
    esp_proposals=("aes256gcm16-ecp256", "aes256-sha256-modp2048"),
    ike_lifetime_s=28800,
    esp_lifetime_s=3600,
    inside=None,
    psk=None,
    bfd=True,
    source="the network file",
)
