"""A VPN connection: IPsec tunnels from a site of ours to a cloud's gateway, and what is routed by them.

IKEv1 is RFC 2409, IKEv2 RFC 7296, ESP RFC 4303, its way through NATs RFC 3947 and 3948.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from bongsu.model.base import (
    AddressField,
    Asn,
    InterfaceField,
    Model,
    Name,
    Positive,
    PrefixField,
    SecretRef,
    TunnelName,
    Whole,
)
from bongsu.model.proposal import esp_proposal, ike_proposal, weakness
from bongsu.model.tunnel import Bfd


class Profile(StrEnum):
    """Whose VPN gateway is at the far end: it says what is accepted there and where it is typed."""

    OCI = "oci"
    AWS = "aws"
    ALIBABA = "alibaba"
    GENERIC = "generic"


class IpsecDaemon(StrEnum):
    """Which IKE daemon a Linux node runs."""

    STRONGSWAN = "strongswan"
    LIBRESWAN = "libreswan"


class Binding(StrEnum):
    """How packets come to a tunnel."""

    VTI = "vti"
    """A virtual tunnel interface: policies by mark, routes decide."""
    XFRM = "xfrm"
    """An XFRM interface: policies by `if_id`, routes decide."""
    POLICY = "policy"
    """No interface: what the traffic selectors say is encrypted."""


class Cloud(Model):
    """A gateway that is not ours: a cloud's VPN service, and the networks behind it."""

    profile: Profile = Profile.GENERIC
    asn: Asn | None = None
    """Its AS number; without it the profile's."""
    networks: Annotated[list[PrefixField], Field(min_length=1)]
    """What is behind it: the VCN's or VPC's prefixes."""


IkeProposal = Annotated[str, AfterValidator(ike_proposal)]
"""`aes256-sha384-modp1536`: encryption, integrity (or PRF), Diffie-Hellman group; AEAD ciphers too,
`aes256gcm16-prfsha384-ecp384`. strongSwan's keywords, of IANA's registries."""
EspProposal = Annotated[str, AfterValidator(esp_proposal)]
"""`aes256gcm16-modp1536`, `aes256-sha256`: encryption, integrity without AEAD, and with perfect
forward secrecy a group."""

Weakness = Annotated[str, AfterValidator(weakness)]
"""A word of bongsu.model.proposal.WEAK."""

Lifetime = Annotated[Whole, Field(ge=60, le=86400 * 7)]


class Ike(Model):
    """How the two gateways agree on keys (phase 1)."""

    version: Literal[1, 2] = 2
    proposals: Annotated[list[IkeProposal], Field(min_length=1)] | None = None
    """In order of preference; without it, the profile's."""
    lifetime_s: Lifetime | None = None
    """Without it, the profile's."""


class Esp(Model):
    """How packets are protected (phase 2)."""

    proposals: Annotated[list[EspProposal], Field(min_length=1)] | None = None
    lifetime_s: Lifetime | None = None


class Dpd(Model):
    """Dead peer detection (RFC 3706; in IKEv2 an empty informational exchange)."""

    delay_s: Annotated[Whole, Field(ge=1, le=3600)] = 10
    timeout_s: Annotated[Whole, Field(ge=2, le=3600)] = 30
    """IKEv1 gives up after this time; IKEv2 after its retransmissions, which are set to fit."""
    action: Literal["restart", "clear", "hold"] = "restart"


class TunnelProbe(Model):
    """Echoes through the tunnel to the cloud's inside address: sees what DPD and BGP see late."""

    interval_ms: Annotated[Whole, Field(ge=20, le=60000)] = 200
    misses: Annotated[Whole, Field(ge=2, le=255)] = 3
    """Echoes without an answer, one after the other, that take the tunnel down."""


class Certificate(Model):
    """Authentication by certificate. Certificates are public and lie on the node; its key is secret."""

    certificate: Annotated[str, Field(pattern=r"^/[\w./@+-]+$")]
    """Path on the node, PEM."""
    key: SecretRef
    ca: Annotated[str, Field(pattern=r"^/[\w./@+-]+$")]
    """Path on the node: who must have signed the far end's, PEM."""


Identity = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:@_=, /-]{0,254}$")]
"""An IKE identity: an address, a name, or a distinguished name."""


class VpnTunnel(Model):
    """One tunnel of a connection. Its name is the interface's on the node."""

    headend: AddressField
    """The cloud gateway's outside address."""
    inside: InterfaceField | None = None
    """Our inside address; BGP, VTI and XFRM interfaces need one."""
    peer: AddressField | None = None
    """The cloud's inside address; without it, the other host of our /30 or /31."""
    psk: SecretRef | None = None
    """Pre-shared key, by reference."""
    id: Identity | None = None
    """What we call ourselves; without it, our public address."""
    peer_id: Identity | None = None
    """What the headend calls itself; without it, its address."""
    mark: Annotated[Whole, Field(ge=1, le=0xFFFFFFFE)] | None = None
    """Mark of a VTI, `if_id` of an XFRM interface; without it, one that is free."""
    accelerator: Name | None = None
    """The accelerator that stands between: the site speaks to its accelerated address, and the
    cloud's customer gateway is its off address."""
    region: Name | None = None
    """By which region of it the site enters; without it, the first."""


class VpnBgp(Model):
    """BGP with the cloud, one session a tunnel, between the inside addresses."""

    keepalive_s: Annotated[Whole, Field(ge=1, le=21845)] = 10
    hold_s: Annotated[Whole, Field(ge=3, le=65535)] = 30
    multihop: Annotated[Whole, Field(ge=1, le=255)] | None = None
    password: SecretRef | None = None
    """TCP MD5 signature (RFC 2385), by reference."""
    bfd: Bfd | None = None
    """Only where the cloud offers it."""
    announce: list[PrefixField] | None = None
    """What the cloud is told of, and nothing else; without it, the site's networks."""
    deaggregate_on_failure: Positive | None = None
    """While a tunnel of the connection is down, announce by the others the more-specifics of this
    length: they win at the cloud at once, which else sends into the dead tunnel until its own hold
    timer has run out."""
    accept: list[PrefixField] | Literal["any"] | None = None
    """What is taken from the cloud, and more-specifics of it; without it, the cloud's networks.
    `any` takes everything, and a check says what that means."""
    max_prefixes: Positive | None = 100
    """The session is closed when the cloud sends more; none at all is a check's business."""
    next_hop_self: bool = True
    soft_reconfiguration: bool = False
    """Keep what was received before filters (`soft-reconfiguration inbound`)."""


class Vpn(Model):
    """A connection: a site, a cloud, and the tunnels between them."""

    site: Name
    """The node of ours."""
    cloud: Name
    interface: str | None = None
    """The uplink it speaks from; without it, the node's first."""
    networks: Annotated[list[PrefixField], Field(min_length=1)] | None = None
    """Of the site; without it, its LANs."""
    ike: Ike = Ike()
    esp: Esp = Esp()
    weak: list[Weakness] = []
    """What is weak and proposed all the same, known and meant: `modp1536`, `ikev1`."""
    dpd: Dpd | Literal[False] = Dpd()
    probe: TunnelProbe | None = None
    """The fast profile: without it, a silent loss is noticed by BGP's hold timer or by DPD."""
    certificate: Certificate | None = None
    """In place of the tunnels' pre-shared keys."""
    binding: Binding = Binding.XFRM
    selectors: Literal["any", "networks"] | None = None
    """Traffic selectors: everything, or the networks of both sides. Without it, `any` where routes
    decide, `networks` where they do not."""
    vti_routing: bool = False
    """Libreswan's `vti-routing`: have it install routes for the selectors."""
    rpf: Literal["strict", "loose"] | None = None
    """Unicast reverse path forwarding of what comes out of the tunnels (RFC 3704); without it, loose."""
    encapsulation: bool | None = None
    """Force ESP into UDP (RFC 3948); without it, forced behind a NAT and negotiated elsewhere."""
    start: Literal["initiate", "respond", "on-demand"] = "initiate"
    mtu: Annotated[Whole, Field(ge=576, le=65507)] | None = None
    """Inside MTU; without it, the underlay's less the encapsulation."""
    tunnels: Annotated[dict[TunnelName, VpnTunnel], Field(min_length=1, max_length=16)]
    balance: Literal["active-standby", "ecmp"] = "active-standby"
    """Active is the first tunnel that works, in the file's order; or all share the traffic."""
    bgp: VpnBgp | None = None
    static: bool = False
    """Routes to the cloud's networks without BGP."""

    @model_validator(mode="after")
    def _routed_once(self) -> "Vpn":
        if self.bgp is not None and self.static:
            raise ValueError("`bgp` and `static` are two ways to route the same: keep one")
        return self
