"""One IPsec tunnel of a site as its node has to build it, and the BGP session inside it.

Every default is filled in, the cloud's profile included. Secrets are references.
"""

from collections.abc import Sequence
from typing import Literal

from bongsu.model.base import (
    Address,
    AddressField,
    Asn,
    InterfaceField,
    InterfaceName,
    Model,
    Name,
    Prefix,
    PrefixField,
    SecretRef,
)
from bongsu.model.tunnel import Bfd
from bongsu.model.vpn import Binding, Certificate, Dpd, Profile, TunnelProbe


class AcceleratedPlan(Model):
    """An accelerator in a tunnel's way. To both ends it is a NAT: each sees an address of its own."""

    name: Name
    region: Name
    headend: AddressField
    """Where the tunnel ends: the site itself speaks to the region's accelerated address."""
    off_address: AddressField
    """From which the headend is spoken to, by any port: its customer gateway."""
    mtu: int
    """The largest outer packet of the tunnel that crosses it whole, bytes."""


class VpnTunnelPlan(Model):
    """One end of an IPsec tunnel (RFC 4301)."""

    name: InterfaceName
    """The interface's name on this node; with policies, the connection's only."""
    vpn: Name
    cloud: Name
    """Who is at the far end; at the stand-in of a cloud in a lab, the site."""
    profile: Profile
    underlay: InterfaceName
    local: AddressField
    """Our outer address as this machine has it."""
    public: AddressField
    """As the far end sees it: another one behind a 1:1 NAT."""
    remote: AddressField
    """The far end's outer address, or the accelerator's in front of it."""
    accelerated: AcceleratedPlan | None = None
    local_id: str
    remote_id: str
    ike_version: Literal[1, 2]
    ike_proposals: list[str]
    """In order of preference, in the spelling of bongsu.model.proposal."""
    ike_lifetime_s: int
    esp_proposals: list[str]
    esp_lifetime_s: int
    dpd: Dpd | None
    probe: TunnelProbe | None = None
    """What this end sends through the tunnel to see whether it carries."""
    psk: SecretRef | None
    certificate: Certificate | None
    encapsulation: bool
    """Force ESP into UDP; else only where a NAT is found on the way."""
    start: Literal["initiate", "respond", "on-demand"]
    binding: Binding
    mark: int
    """Of a VTI, or `if_id` of an XFRM interface; unique on the node."""
    vti_routing: bool
    rpf: Literal["strict", "loose"] = "loose"
    """Of the tunnel's interface, where it has one (RFC 3704)."""
    inside: InterfaceField | None
    peer_inside: AddressField | None
    local_selectors: list[PrefixField]
    remote_selectors: list[PrefixField]
    local_networks: list[PrefixField]
    """What may come out of the tunnel as an inner destination, besides our inside address."""
    remote_networks: list[PrefixField]
    """What may come out of it as an inner source, besides the peer's."""
    mtu: int
    """Inside MTU, bytes of the inner IP packet."""
    rank: int
    """Place in its connection: 0 is the first. Equal shares of the traffic have equal ranks."""

    @property
    def nat(self) -> bool:
        """Whether a 1:1 NAT stands in front of us."""
        return self.local != self.public

    @property
    def translated(self) -> bool:
        """Whether the far end sees another address than the one this machine has."""
        return self.local != self.customer

    @property
    def headend(self) -> Address:
        """The far end's outer address, whatever stands in front of it."""
        return self.remote if self.accelerated is None else self.accelerated.headend

    @property
    def customer(self) -> Address:
        """Whom the far end sees: the customer gateway's address, as clouds call it."""
        return self.public if self.accelerated is None else self.accelerated.off_address


class Weak(Model):
    """How much a session counts while its tunnel is degraded: less than any that is not."""

    preference: int
    """Local preference of what is learned here."""
    prepend: int
    """How often our AS number is put before what is announced."""


class CloudPeer(Model):
    """An external BGP session inside an IPsec tunnel."""

    name: Name
    tunnel: InterfaceName
    vpn: Name
    asn: Asn
    """Of the far end."""
    address: AddressField
    local: AddressField
    keepalive_s: int
    hold_s: int
    multihop: int | None
    password: SecretRef | None
    bfd: Bfd | None
    announce: list[PrefixField]
    """Exactly these prefixes go out."""
    more_specifics: list[PrefixField] = []
    """Announced as well while another tunnel of the connection is down; none where not asked for."""
    accept: list[PrefixField] | None
    """These and more-specifics of them come in; None: anything."""
    max_prefixes: int | None
    next_hop_self: bool
    soft_reconfiguration: bool
    preference: int
    """Local preference of what is learned here."""
    prepend: int
    """How often our AS number is put before what is announced, so that the far end prefers another."""
    weak: Weak | None = None
    """None: it counts as much in any case."""

    def announced(self) -> list[Prefix]:
        """What goes out: of what is announced, the prefixes of the session's own family."""
        return self._own(self.announce)

    def taking_over(self) -> list[Prefix]:
        """What goes out besides, while another tunnel is down; the agent originates it then."""
        return self._own(self.more_specifics)

    def accepted(self) -> list[Prefix] | None:
        """What comes in, and more-specifics of it; None: anything."""
        return None if self.accept is None else self._own(self.accept)

    def counts(self, *, weak: bool) -> Weak:
        """Preference and prepending as they are to be."""
        if weak and self.weak is not None:
            return self.weak
        return Weak(preference=self.preference, prepend=self.prepend)

    def _own(self, prefixes: Sequence[Prefix]) -> list[Prefix]:
        return [prefix for prefix in prefixes if prefix.version == self.address.version]


def shares(peers: Sequence[CloudPeer]) -> int:
    """How many sessions of one connection share the traffic: the most of one preference.

    ValueError without any.
    """
    ranks = [(peer.vpn, peer.preference, peer.prepend) for peer in peers]
    return max(ranks.count(rank) for rank in ranks)
