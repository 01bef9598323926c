"""The shape of a cloud's profile."""

from dataclasses import dataclass
from ipaddress import IPv4Network

from bongsu.model.proposal import Suite


@dataclass(frozen=True)
class Accepted:
    """Algorithms that a gateway takes, by the keywords of bongsu.model.proposal."""

    encryption: frozenset[str]
    hashes: frozenset[str]
    """Integrity, or the PRF of an AEAD cipher."""
    groups: frozenset[str]

    def refuses(self, suite: Suite) -> list[str]:
        """The parts of a proposal that the gateway would not take."""
        hashed = suite.integrity or suite.prf
        parts = (
            (suite.encryption, self.encryption),
            (hashed, self.hashes),
            (suite.group, self.groups),
        )
        return [part for part, known in parts if part is not None and known and part not in known]


@dataclass(frozen=True)
class CloudProfile:
    """One cloud's VPN gateway. Empty sets of `Accepted`, and None: not known, so nothing is refused."""

    title: str
    gateway: str
    """What its side is called there."""
    asn: int | None
    """Of its side, unless it was chosen."""
    tunnels: int
    """How many a connection has."""
    ike_versions: frozenset[int]
    ike: Accepted
    esp: Accepted
    ike_proposals: tuple[str, ...]
    """What to propose when the file says nothing: the strongest it takes."""
    esp_proposals: tuple[str, ...]
    ike_lifetime_s: int
    esp_lifetime_s: int
    inside: IPv4Network | None
    """Where inside addresses must come from; None: anywhere."""
    psk: str | None
    """Pattern of the pre-shared keys it takes."""
    bfd: bool
    """Whether it offers BFD over the tunnel."""
    source: str
    """Where this is published."""
    inside_lengths: frozenset[int] = frozenset()
    """Lengths of an inside IPv4 network that it takes."""
    reserved: tuple[IPv4Network, ...] = ()
    """Inside networks that it keeps for itself."""
    cloud_first: bool = False
    """Whether it takes the first host of the inside network and leaves us the second."""
    asn_fixed: bool = False
    """Whether `asn` is what it is, and nothing that a customer chooses."""
    ike_lifetimes_s: tuple[int, int] | None = None
    """The least and the greatest that it takes."""
    esp_lifetimes_s: tuple[int, int] | None = None
