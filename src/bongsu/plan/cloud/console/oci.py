"""Oracle Cloud Infrastructure's console."""

from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Note, Step
from bongsu.plan.cloud.console.words import OFF_ADDRESS

_CONNECTIVITY = "Networking > Customer connectivity"

OCI = Console(
    steps=(
        Step(
            "Dynamic routing gateway",
            f"{_CONNECTIVITY} > Dynamic routing gateway > Create dynamic routing gateway",
            (Field("Name", "DRG-{cloud}"),),
            notes=(
                Note(
                    "Then its Virtual cloud network attachments > Create virtual cloud network "
                    "attachment, with the VCN that holds {cloud_networks}."
                ),
            ),
            check="The DRG is *Available*, the attachment *Attached*.",
        ),
        Step(
            "CPE object",
            f"{_CONNECTIVITY} > Customer-premises equipment > Create CPE",
            (
                Field("Name", "CPE-{customer}"),
                Field("IP address", "{public}"),
                Field("Vendor", "{device}"),
            ),
            each="customer",
            notes=(
                Note(
                    "The address is what the Internet sees, not the machine's own behind a NAT.",
                    "direct",
                ),
                Note(OFF_ADDRESS, "accelerated"),
            ),
            check="The list has CPE-{customer} with {public}.",
        ),
        Step(
            "IPSec connection",
            f"{_CONNECTIVITY} > Site-to-Site VPN > Create IPSec connection",
            (
                Field("Name", "{connection}"),
                Field("Customer-premises equipment", "CPE-{customer}"),
                Field("Dynamic routing gateway", "DRG-{cloud}"),
                Field("Routes to your on-premises network", "{site_networks}"),
                Field("CPE IKE identifier (advanced options)", "{local_id}"),
            ),
            each="connection",
            notes=(
                Note("With BGP on every tunnel the static routes are not used."),
                Note(
                    "A connection has one CPE, so each off address has a connection of its own. Oracle"
                    " makes two tunnels in it; the one that no accelerator leads to stays *Down*.",
                    "several",
                ),
            ),
            check="The form has a part for each of the tunnels that follow.",
        ),
        Step(
            "Tunnel {number}",
            "the same form, Tunnel {number}",
            (
                Field("Name", "{tunnel}"),
                Field("Provide custom shared secret", "the value of {psk}"),
                Field("IKE version", "IKEv{ike}"),
                Field("Routing type", "BGP dynamic routing", "bgp"),
                Field("Routing type", "Static routing", "static"),
                Field("BGP ASN", "{asn}", "bgp"),
                Field("IPv4 inside tunnel interface - CPE", "{inside}", "inside"),
                Field("IPv4 inside tunnel interface - Oracle", "{peer_inside}", "inside"),
                Field("Phase one: Custom encryption algorithm", "{ike_encryption}"),
                Field("Phase one: Custom authentication algorithm", "{ike_hash}"),
                Field("Phase one: Diffie-Hellman group", "{ike_group}"),
                Field("Phase one: IKE session key lifetime in seconds", "{ike_lifetime}"),
                Field("Phase two: Custom encryption algorithm", "{esp_encryption}"),
                Field("Phase two: Custom authentication algorithm", "{esp_hash}"),
                Field("Phase two: Perfect forward secrecy Diffie-Hellman group", "{esp_group}"),
                Field("Phase two: IPSec session key lifetime in seconds", "{esp_lifetime}"),
            ),
            each="tunnel",
            notes=(
                Note(
                    "Phase one and two are under Show advanced options > Set custom configurations."
                ),
                Note("Letters, digits and spaces are all that a shared secret may have here."),
                Note("NAT-T under the advanced options stays *Enabled* or *Auto*.", "accelerated"),
            ),
            check="After Create, the tunnel's *Oracle VPN IP address* is {headend}. If it is another,"
            " write that into the network file as `headend` and render again.",
        ),
        Step(
            "Route rule of the VCN",
            "Networking > Virtual cloud networks > (the VCN) > Route tables > Add route rules",
            (
                Field("Target type", "Dynamic routing gateway"),
                Field("Destination CIDR block", "{site_networks}"),
            ),
            notes=(Note("In the route table of every subnet that the site has to reach."),),
            check="The table has {site_networks} with the DRG as target.",
        ),
        Step(
            "Security list of the VCN",
            "Networking > Virtual cloud networks > (the VCN) > Security lists > Add ingress rules",
            (
                Field("Source CIDR", "{site_networks}"),
                Field("IP protocol", "ICMP for the checks below, and what the site is to use"),
            ),
            check="The list has a rule for {site_networks}; its egress rules let answers out.",
        ),
    ),
    status="Site-to-Site VPN > (the connection) > Tunnels: *IPSec status* and *IPv4 BGP status* are"
    " *Up*; *BGP routes received* has the site's networks",
    words={
        "aes128": "AES_128_CBC",
        "aes192": "AES_192_CBC",
        "aes256": "AES_256_CBC",
        "aes128gcm16": "AES_128_GCM",
        "aes192gcm16": "AES_192_GCM",
        "aes256gcm16": "AES_256_GCM",
        "sha1": "SHA1_96",
        "sha256": "SHA2_256",
        "sha384": "SHA2_384",
        "modp1024": "GROUP2",
        "modp1536": "GROUP5",
        "modp2048": "GROUP14",
        "ecp256": "GROUP19",
        "ecp384": "GROUP20",
        "modp2048s256": "GROUP24",
    },
    esp_words={"sha1": "HMAC_SHA1_128", "sha256": "HMAC_SHA2_256_128"},
    hosting=Hosting(
        filter="security list (or network security group) of its subnet: Ingress rules",
        forwarding="its VNIC > Edit > *Skip source/destination check*: on",
        route="route table of the subnet: Target type *Private IP*, the machine's own",
        boot="Boot volume > *Use in-transit encryption*: off, when the machine is made",
    ),
    source="Oracle: Setting Up Site-to-Site VPN; Working with Site-to-Site VPN; Libreswan",
)
