"""The shape of a console's steps, and the names that their values may use.

A value is a text with names in braces, `{public}`: what they stand for follows from the plan. Nothing
secret is among them: `{psk}` is a reference.
"""

from dataclasses import dataclass, field
from typing import Literal

CONNECTION_NAMES = frozenset(
    {"vpn", "site", "cloud", "public", "asn", "cloud_asn", "site_networks", "cloud_networks", "ike",
     "local_id", "device"}
)  # fmt: skip
"""What a value of any step may use. `ike` is the version, 1 or 2."""
TUNNEL_NAMES = CONNECTION_NAMES | {
    "number", "tunnel", "headend", "inside", "inside_ip", "peer_inside", "peer_inside_ip",
    "inside_network", "psk", "peer_id", "ike_encryption", "ike_hash", "ike_group", "ike_lifetime",
    "esp_encryption", "esp_hash", "esp_group", "esp_lifetime", "dpd_timeout",
}  # fmt: skip
"""What a value of a step that is done for each tunnel may use as well."""

When = Literal["always", "bgp", "static", "inside"]
"""`inside`: where the tunnel has inside addresses."""


@dataclass(frozen=True)
class Field:
    """A field of a form, and what goes into it."""

    name: str
    """As the console calls it."""
    value: str
    when: When = "always"


@dataclass(frozen=True)
class Step:
    """One form, or one place, of the console."""

    title: str
    where: str
    """The way there."""
    fields: tuple[Field, ...] = ()
    each_tunnel: bool = False
    notes: tuple[str, ...] = ()
    check: str = ""
    """What to look at afterwards, and what it says."""


@dataclass(frozen=True)
class Hosting:
    """What has to be done where the site's gateway is a machine of this cloud itself."""

    filter: str
    """What its packet filter is called."""
    forwarding: str
    """How a machine is allowed to forward for others."""
    route: str
    """How its neighbours' packets get to it."""
    boot: str = ""
    """What to mind when the machine is made."""


@dataclass(frozen=True)
class Console:
    """A cloud's console."""

    steps: tuple[Step, ...]
    status: str
    """Where the console shows whether tunnels and sessions are up, and its word for it."""
    words: dict[str, str] = field(default_factory=dict)
    """Algorithms -> the console's words; of hashes those of IKE."""
    esp_words: dict[str, str] = field(default_factory=dict)
    """Where ESP's words are others."""
    hosting: Hosting | None = None
    source: str = ""

    def word(self, algorithm: str | None, *, esp: bool = False) -> str:
        """The console's word for an algorithm; None is what an AEAD cipher needs no hash for."""
        if algorithm is None:
            return "none (the cipher needs none)"
        if esp and algorithm in self.esp_words:
            return self.esp_words[algorithm]
        return self.words.get(algorithm, algorithm)
