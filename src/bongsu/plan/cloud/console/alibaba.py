"""Alibaba Cloud's console."""

from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Step

_VPN = "VPN Gateway console > Cross-network Interconnection > VPN"

ALIBABA = Console(
    steps=(
        Step(
            "Customer gateway",
            f"{_VPN} > Customer Gateways > Create Customer Gateway",
            (
                Field("Name", "{site}"),
                Field("IP Address", "{public}"),
                Field("ASN", "{asn}", "bgp"),
            ),
            notes=("The address is what the Internet sees, not the machine's own behind a NAT.",),
            check="The list has {site} with {public}.",
        ),
        Step(
            "IPsec connection",
            f"{_VPN} > IPsec Connections > Bind VPN Gateway",
            (
                Field("Name", "{vpn}"),
                Field("Bind VPN Gateway", "the gateway of the VPC that holds {cloud_networks}"),
                Field("Routing Mode", "Destination Routing Mode"),
                Field("Effective Immediately", "Yes"),
                Field("Enable BGP", "on", "bgp"),
                Field("Local ASN", "{cloud_asn}", "bgp"),
            ),
            check="The form has a part for each of the tunnels that follow.",
        ),
        Step(
            "Tunnel {number}",
            "the same form, tunnel {number}",
            (
                Field("Customer Gateway", "{site}"),
                Field("Pre-Shared Key", "the value of {psk}"),
                Field("IKE: Version", "ikev{ike}"),
                Field("IKE: Negotiation Mode", "main"),
                Field("IKE: Encryption Algorithm", "{ike_encryption}"),
                Field("IKE: Authentication Algorithm", "{ike_hash}"),
                Field("IKE: DH Group", "{ike_group}"),
                Field("IKE: SA Life Cycle (seconds)", "{ike_lifetime}"),
                Field("LocalId", "{peer_id}"),
                Field("RemoteId", "{local_id}"),
                Field("IPsec: Encryption Algorithm", "{esp_encryption}"),
                Field("IPsec: Authentication Algorithm", "{esp_hash}"),
                Field("IPsec: DH Group", "{esp_group}"),
                Field("IPsec: SA Life Cycle (seconds)", "{esp_lifetime}"),
                Field("DPD", "on"),
                Field("NAT Traversal", "on"),
                Field("BGP: Tunnel CIDR Block", "{inside_network}", "bgp"),
                Field("BGP: Local BGP IP address", "{peer_inside_ip}", "bgp"),
            ),
            each_tunnel=True,
            check="The tunnel's gateway address is {headend}. If it is another, write that into the"
            " network file as `headend` and render again.",
        ),
        Step(
            "Routes",
            "VPN Gateway console > VPN Gateways > (the gateway) > Destination-based Routing",
            (
                Field("Destination CIDR Block", "{site_networks}", "static"),
                Field("Next Hop", "{vpn}", "static"),
                Field("Automatic Route Advertisement", "on", "bgp"),
            ),
            check="The VPC's route table has {site_networks} with the VPN gateway as next hop.",
        ),
        Step(
            "Security group of the instances",
            "ECS > Security Groups > (the group) > Inbound",
            (
                Field("Source", "{site_networks}"),
                Field("Protocol", "All ICMP (IPv4) for the checks below, and what the site uses"),
            ),
            check="The group has a rule for {site_networks}.",
        ),
    ),
    status="IPsec Connections > (the connection) > Tunnel: *Connection Status* is *Phase 2"
    " negotiations succeeded*, and *BGP Status* *Normal*",
    words={
        "aes128": "aes",
        "modp768": "group1",
        "modp1024": "group2",
        "modp1536": "group5",
        "modp2048": "group14",
    },
    hosting=Hosting(
        filter="security group of the instance: Inbound",
        forwarding="nothing in the console: forwarding in the machine is enough",
        route="route table of the VPC: Next hop type *ECS Instance*, the machine itself",
    ),
    source="Alibaba Cloud: Create and manage IPsec-VPN connections in dual-tunnel mode; Customer "
    "gateway",
)
