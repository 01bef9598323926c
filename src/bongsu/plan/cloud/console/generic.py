"""A gateway of which no console is known: the values, for whoever configures it."""

from bongsu.plan.cloud.console.shape import Console, Field, Note, Step
from bongsu.plan.cloud.console.words import OFF_ADDRESS

GENERIC = Console(
    steps=(
        Step(
            "The far gateway",
            "as its manual says",
            (
                Field("Networks behind the other gateway", "{site_networks}"),
                Field("Networks behind this gateway", "{cloud_networks}"),
                Field("AS number of the other gateway", "{asn}", "bgp"),
                Field("AS number of this gateway", "{cloud_asn}", "bgp"),
            ),
            check="It routes {site_networks} into the tunnels, and lets it through its filters.",
        ),
        Step(
            "Tunnel {number}",
            "as its manual says",
            (
                Field("Address of the other gateway", "{public}"),
                Field("Identity of the other gateway", "{local_id}"),
                Field("Address of this gateway", "{headend}"),
                Field("Identity of this gateway", "{peer_id}"),
                Field("Pre-shared key", "the value of {psk}"),
                Field("IKE version", "{ike}"),
                Field("IKE encryption", "{ike_encryption}"),
                Field("IKE integrity, or PRF", "{ike_hash}"),
                Field("IKE Diffie-Hellman group", "{ike_group}"),
                Field("IKE lifetime (s)", "{ike_lifetime}"),
                Field("ESP encryption", "{esp_encryption}"),
                Field("ESP integrity", "{esp_hash}"),
                Field("ESP perfect forward secrecy, group", "{esp_group}"),
                Field("ESP lifetime (s)", "{esp_lifetime}"),
                Field("Inside address of this gateway", "{peer_inside}", "inside"),
                Field("Inside address of the other gateway", "{inside}", "inside"),
            ),
            each="tunnel",
            notes=(
                Note(OFF_ADDRESS, "accelerated"),
                Note(
                    "NAT traversal is on, and the gateway waits to be called: it takes any source port.",
                    "accelerated",
                ),
            ),
            check="It waits for {public}, or calls it.",
        ),
    ),
    status="its own display of IKE and IPsec SAs and of BGP sessions",
    source="the network file",
)
