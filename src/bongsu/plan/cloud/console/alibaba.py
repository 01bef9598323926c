"""Alibaba Cloud's console."""

from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Note, Step
from bongsu.plan.cloud.console.words import OFF_ADDRESS

_VPN = "VPN Gateway console > Cross-network Interconnection > VPN"
_WORDS = {
    "aes128": "aes",
    "modp768": "group1",
    "modp1024": "group2",
    "modp1536": "group5",
    "modp2048": "group14",
}
_STATUS = (
    "IPsec Connections > (the connection) > Tunnel: *Connection Status* is *Phase 2 negotiations"
    " succeeded*, and *BGP Status* *Normal*"
)
_SOURCE = (
    "Alibaba Cloud: Create and manage IPsec-VPN connections in dual-tunnel mode; Customer gateway"
)

ALIBABA = Console(
    steps=(
        Step(
            "Customer gateway",
            f"{_VPN} > Customer Gateways > Create Customer Gateway",
            (
                Field("Name", "{customer}"),
                Field("IP Address", "{public}"),
                Field("ASN", "{asn}", "bgp"),
            ),
            each="customer",
            notes=(
                Note(
                    "The address is what the Internet sees, not the machine's own behind a NAT.",
                    "direct",
                ),
                Note(OFF_ADDRESS, "accelerated"),
            ),
            check="The list has {customer} with {public}.",
        ),
        Step(
            "IPsec connection",
            f"{_VPN} > IPsec Connections > Bind VPN Gateway",
            (
                Field("Name", "{vpn}"),
                Field("Bind VPN Gateway", "the gateway of the VPC that holds {cloud_networks}"),
                Field("Routing Mode", "Destination Routing Mode", "any"),
                Field("Routing Mode", "Protected Data Flows", "networks"),
                Field("Local Network", "{cloud_networks}", "networks"),
                Field("Remote Network", "{site_networks}", "networks"),
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
                Field("Customer Gateway", "{customer}"),
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
            each="tunnel",
            notes=(Note("NAT traversal is on from the start: leave it so.", "accelerated"),),
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
    status=_STATUS,
    words=_WORDS,
    hosting=Hosting(
        filter="security group of the instance: Inbound",
        forwarding="nothing in the console: forwarding in the machine is enough",
        route="route table of the VPC: Next hop type *ECS Instance*, the machine itself",
    ),
    source=_SOURCE,
)

ALIBABA_SITE = Console(
    steps=(
        Step(
            "VPN gateway",
            f"{_VPN} > VPN Gateways > Create VPN Gateway",
            (
                Field("Instance Name", "{site}"),
                Field("VPC", "the VPC that holds {site_networks}"),
                Field("Network Type", "Public"),
                Field("IPsec-VPN", "Enable"),
            ),
            notes=(
                Note(
                    "In dual-tunnel mode it has an address for each tunnel. Through an accelerator it does"
                    " not matter which of them calls: the far gateway sees the off address.",
                    "accelerated",
                ),
            ),
            check="The gateway is *Normal*, and its IP address is {own}. If it is another, write that"
            " into the network file and render again.",
        ),
        Step(
            "Customer gateway",
            f"{_VPN} > Customer Gateways > Create Customer Gateway",
            (
                Field("Name", "{far}"),
                Field("IP Address", "{remote}"),
                Field("ASN", "{cloud_asn}", "bgp"),
            ),
            each="customer",
            notes=(
                Note(
                    "The address is the accelerated one of {accelerator}, region {region}, and not"
                    " {cloud}'s own.",
                    "accelerated",
                ),
            ),
            check="The list has {far} with {remote}.",
        ),
        Step(
            "IPsec connection",
            f"{_VPN} > IPsec Connections > Bind VPN Gateway",
            (
                Field("Name", "{vpn}"),
                Field("Bind VPN Gateway", "{site}"),
                Field("Routing Mode", "Destination Routing Mode", "any"),
                Field("Routing Mode", "Protected Data Flows", "networks"),
                Field("Local Network", "{site_networks}", "networks"),
                Field("Remote Network", "{cloud_networks}", "networks"),
                Field("Effective Immediately", "Yes"),
                Field("Enable BGP", "on", "bgp"),
                Field("Local ASN", "{asn}", "bgp"),
            ),
            notes=(
                Note(
                    "*Local* is this VPC here, *remote* is {cloud}. AWS calls its customer's side *local*:"
                    " what is local in its form and in its file is {site_networks} as well.",
                    "networks",
                ),
                Note(
                    "*Local* and *Remote* mean this VPC and {cloud} here; AWS calls its customer's side"
                    " *local*. With destination routing nothing of it is typed, and the selectors are"
                    " 0.0.0.0/0 at both.",
                    "any",
                ),
                Note("The console asks whether to publish the route: *OK*.", "networks"),
            ),
            check="The form has a part for each of the tunnels that follow.",
        ),
        Step(
            "Tunnel {number}",
            "the same form, tunnel {number}",
            (
                Field("Customer Gateway", "{far}"),
                Field("Pre-Shared Key", "the value of {psk}"),
                Field("IKE: Version", "ikev{ike}"),
                Field("IKE: Negotiation Mode", "main"),
                Field("IKE: Encryption Algorithm", "{ike_encryption}"),
                Field("IKE: Authentication Algorithm", "{ike_hash}"),
                Field("IKE: DH Group", "{ike_group}"),
                Field("IKE: SA Life Cycle (seconds)", "{ike_lifetime}"),
                Field("LocalId", "{local_id}"),
                Field("RemoteId", "{peer_id}"),
                Field("IPsec: Encryption Algorithm", "{esp_encryption}"),
                Field("IPsec: Authentication Algorithm", "{esp_hash}"),
                Field("IPsec: DH Group", "{esp_group}"),
                Field("IPsec: SA Life Cycle (seconds)", "{esp_lifetime}"),
                Field("DPD", "on"),
                Field("NAT Traversal", "on"),
                Field("BGP: Tunnel CIDR Block", "{inside_network}", "bgp"),
                Field("BGP: Local BGP IP address", "{inside_ip}", "bgp"),
            ),
            each="tunnel",
            notes=(
                Note(
                    "NAT traversal is on from the start: leave it so, for the accelerator is a NAT to both"
                    " gateways. Without it IKE fails in either phase.",
                    "accelerated",
                ),
                Note(
                    "RemoteId is {headend}: what the far gateway calls itself, and not the address that is"
                    " spoken to.",
                    "accelerated",
                ),
                Note(
                    "A gateway in dual-tunnel mode wants two tunnels: with one of them down the"
                    " connection stays up. This network has one.",
                    "single",
                ),
            ),
            check="{far} and {psk} are those of tunnel {number}, and the algorithms are one of each.",
        ),
        Step(
            "Destination-based route",
            "VPN Gateway console > VPN Gateways > {site} > Destination-based Routing",
            (
                Field("Destination CIDR Block", "{cloud_networks}", "static"),
                Field("Next Hop Type", "IPsec-VPN connection", "static"),
                Field("Next Hop", "{vpn}", "static"),
                Field("Advertise to VPC", "Yes", "static"),
                Field("Automatic Route Advertisement", "on", "bgp"),
            ),
            notes=(Note("An entry for each network.", "static"),),
            when="any",
            check="The VPC's route table has {cloud_networks} with the VPN gateway as next hop.",
        ),
        Step(
            "Policy-based route",
            "VPN Gateway console > VPN Gateways > {site} > Policy-based Routing",
            (
                Field("Destination CIDR Block", "{cloud_networks}"),
                Field("Source CIDR Block", "{site_networks}"),
                Field("Next Hop", "{vpn}"),
                Field("Advertise to VPC", "Yes"),
            ),
            notes=(
                Note(
                    "With protected data flows the entry is made with the connection, and published if"
                    " the console's question was answered with *OK*: add it only if there is none."
                ),
            ),
            when="networks",
            check="The VPC's route table has {cloud_networks} with the VPN gateway as next hop.",
        ),
        Step(
            "Public address space",
            "a ticket, with the account's UID and the VPC's id",
            (Field("To be taken for private", "{public_networks}"),),
            notes=(
                Note(
                    "{public_networks}: public address space, however private it looks, such as"
                    " 172.32.0.0/16, which is outside 172.16.0.0/12. A VPC sends it to the Internet, so"
                    " that IPsec is up and no ping arrives, until it is on a whitelist."
                ),
                Note(
                    "A network out of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 needs no ticket."
                ),
            ),
            when="public",
            check="A ping from host to host arrives, once the tunnels are up.",
        ),
        Step(
            "Security group of the instances",
            "ECS > Security Groups > (the group) > Inbound",
            (
                Field("Source", "{cloud_networks}"),
                Field("Protocol", "All ICMP (IPv4) for the checks below, and what {cloud} uses"),
            ),
            notes=(
                Note(
                    "Beside IPsec, and the relay of an accelerator, {mss} bytes of TCP fit into a packet."
                    " Nothing is published of the gateway lowering the MSS: if the largest ping below"
                    " does not pass, have the instances' MTU or MSS lowered."
                ),
            ),
            check="The group has a rule for {cloud_networks}.",
        ),
    ),
    status=_STATUS,
    words=_WORDS,
    source=_SOURCE,
)
"""The same cloud as the site: its VPN gateway stands where else a machine of ours does."""
