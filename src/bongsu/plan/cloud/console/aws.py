"""Amazon Web Services' console."""

from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Note, Step
from bongsu.plan.cloud.console.words import OFF_ADDRESS

_VPN = "VPC > Virtual private network (VPN)"

AWS = Console(
    steps=(
        Step(
            "Customer gateway",
            f"{_VPN} > Customer gateways > Create customer gateway",
            (
                Field("Name tag", "{customer}"),
                Field("BGP ASN", "{asn}"),
                Field("IP address", "{public}"),
            ),
            each="customer",
            notes=(
                Note(
                    "The address is what the Internet sees, not the machine's own behind a NAT.",
                    "direct",
                ),
                Note(OFF_ADDRESS, "accelerated"),
            ),
            check="{customer} is *available*, with {public}.",
        ),
        Step(
            "Virtual private gateway",
            f"{_VPN} > Virtual private gateways > Create virtual private gateway",
            (Field("Name tag", "{cloud}"), Field("Custom ASN", "{cloud_asn}")),
            notes=(
                Note("Then Actions > Attach to VPC, with the VPC that holds {cloud_networks}."),
                Note(
                    "A transit gateway stands in its place where there is one, with the same ASN."
                ),
            ),
            check="Its state is *Attached*.",
        ),
        Step(
            "VPN connection",
            f"{_VPN} > Site-to-Site VPN connections > Create VPN connection",
            (
                Field("Name tag", "{connection}"),
                Field("Target gateway type", "Virtual private gateway: {cloud}"),
                Field("Customer gateway", "Existing: {customer}"),
                Field("Routing options", "Dynamic (requires BGP)", "bgp"),
                Field("Routing options", "Static", "static"),
                Field("Static IP prefixes", "{site_networks}", "static"),
                Field("Local IPv4 network CIDR", "0.0.0.0/0", "any"),
                Field("Remote IPv4 network CIDR", "0.0.0.0/0", "any"),
                Field("Local IPv4 network CIDR", "{site_networks}", "networks"),
                Field("Remote IPv4 network CIDR", "{cloud_networks}", "networks"),
            ),
            each="connection",
            notes=(
                Note(
                    "*Local* is the customer's side here, *remote* is AWS's: the other way round than at"
                    " most gateways."
                ),
                Note(
                    "One network fits into each of the two: with more take 0.0.0.0/0.", "networks"
                ),
                Note(
                    "NAT traversal needs no switch: AWS finds the accelerator's translation and goes on"
                    " in UDP 4500. *Enable acceleration*, AWS's own, stays off.",
                    "accelerated",
                ),
                Note(
                    "A connection has one customer gateway, so each off address has a connection of its"
                    " own. AWS makes two tunnels in it; the one that no accelerator leads to stays *Down*.",
                    "several",
                ),
            ),
            check="The form has options for each of the tunnels that follow.",
        ),
        Step(
            "Tunnel {number}",
            "the same form, Tunnel {number} options",
            (
                Field("Inside IPv4 CIDR for tunnel {number}", "{inside_network}", "inside"),
                Field("Pre-shared key for tunnel {number}", "the value of {psk}"),
                Field("Phase 1 encryption algorithms", "{ike_encryption}"),
                Field("Phase 2 encryption algorithms", "{esp_encryption}"),
                Field("Phase 1 integrity algorithms", "{ike_hash}"),
                Field("Phase 2 integrity algorithms", "{esp_hash}"),
                Field("Phase 1 DH group numbers", "{ike_group}"),
                Field("Phase 2 DH group numbers", "{esp_group}"),
                Field("IKE Version", "ikev{ike}"),
                Field("Phase 1 lifetime (seconds)", "{ike_lifetime}"),
                Field("Phase 2 lifetime (seconds)", "{esp_lifetime}"),
                Field("DPD timeout (seconds)", "{dpd_timeout}"),
                Field("Startup action", "Add"),
            ),
            each="tunnel",
            notes=(
                Note(
                    "All but the first two are under Advanced options > Edit tunnel {number} options."
                ),
                Note(
                    "AWS takes {peer_inside_ip}, the first address of the inside network, for itself.",
                    "inside",
                ),
                Note(
                    "A key has 8 to 64 letters, digits, periods and underscores, and no 0 in front."
                ),
                Note(
                    "*Add* and not *Start*: AWS cannot call before the site has, for it is the site's"
                    " packets that open the way back.",
                    "accelerated",
                ),
            ),
            check="Tunnel details shows the *Outside IP address* {headend}. If it is another, write"
            " that into the network file as `headend` and render again.",
        ),
        Step(
            "Route table of the VPC",
            "VPC > Route tables > (the table) > Route propagation > Edit route propagation",
            (
                Field("Propagation", "Enable, for {cloud}", "bgp"),
                Field("Route: Destination", "{site_networks}", "static"),
                Field("Route: Target", "{cloud}", "static"),
            ),
            check="Once the tunnels are up, Routes has {site_networks} with {cloud} as target.",
        ),
        Step(
            "Security group of the instances",
            "EC2 > Security groups > (the group) > Edit inbound rules",
            (
                Field("Source", "{site_networks}"),
                Field("Type", "All ICMP - IPv4 for the checks below, and what the site is to use"),
            ),
            check="The group has a rule for {site_networks}.",
        ),
    ),
    status="Site-to-Site VPN connections > (the connection) > Tunnel details: *Status* is *Up*, and"
    " *Details* counts the BGP routes",
    words={
        "aes128": "AES128",
        "aes256": "AES256",
        "aes128gcm16": "AES128-GCM-16",
        "aes256gcm16": "AES256-GCM-16",
        "sha1": "SHA1",
        "sha256": "SHA2-256",
        "sha384": "SHA2-384",
        "sha512": "SHA2-512",
        "modp1024": "2",
        "modp1536": "5",
        "modp2048": "14",
        "modp3072": "15",
        "modp4096": "16",
        "modp6144": "17",
        "modp8192": "18",
        "ecp256": "19",
        "ecp384": "20",
        "ecp521": "21",
        "modp2048s256": "24",
    },
    hosting=Hosting(
        filter="security group of its network interface: Inbound rules",
        forwarding="Actions > Networking > *Change source/destination check*: Stop",
        route="route table of the subnet: Target *Network Interface*, the machine's own",
    ),
    source="AWS: Site-to-Site VPN User Guide, Getting started; Tunnel options",
)
