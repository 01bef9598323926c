"""The shape of a console's steps, and the names that their values may use.

A value is a text with names in braces, `{public}`: what they stand for follows from the plan. Nothing
secret is among them: `{psk}` is a reference.
"""

from dataclasses import dataclass, field
from typing import Literal

VPN_NAMES = frozenset(
    {"vpn", "site", "cloud", "asn", "cloud_asn", "site_networks", "cloud_networks", "ike", "device",
     "own", "mss", "public_networks"}
)  # fmt: skip
"""What a value of any step may use. `ike` is the version, 1 or 2; `own` the site's address as the
Internet sees it."""
CUSTOMER_NAMES = VPN_NAMES | {
    "customer", "connection", "public", "local_id", "far", "remote", "peer_id", "accelerator", "region",
}  # fmt: skip
"""What a step for each customer gateway may use as well. At the cloud `customer` is its name there and
`public` its address: the site's, or an accelerator's off address. At a site that has a console itself
they are `far` and `remote`. `accelerator` and `region` are empty without an accelerator."""
TUNNEL_NAMES = CUSTOMER_NAMES | {
    "number", "tunnel", "headend", "inside", "inside_ip", "peer_inside", "peer_inside_ip",
    "inside_network", "psk", "ike_encryption", "ike_hash", "ike_group", "ike_lifetime",
    "esp_encryption", "esp_hash", "esp_group", "esp_lifetime", "dpd_timeout",
}  # fmt: skip
"""What a value of a step that is done for each tunnel may use as well."""

Each = Literal["vpn", "customer", "connection", "tunnel"]
"""How often a step is done: once; for each address that the tunnels come from; the same, each time
followed by its tunnels (a console whose connections have one customer gateway); for each tunnel."""
NAMES: dict[Each, frozenset[str]] = {
    "vpn": VPN_NAMES,
    "customer": CUSTOMER_NAMES,
    "connection": CUSTOMER_NAMES,
    "tunnel": TUNNEL_NAMES,
}

When = Literal[
    "always", "bgp", "static", "inside", "any", "networks", "direct", "accelerated", "several", "public",
    "single",
]  # fmt: skip
"""When a field or a note is there. `inside`: the tunnel has inside addresses. `any`, `networks`: the
traffic selectors. `direct`, `accelerated`: without and with an accelerator in the way. `several`: the
tunnels come from several addresses; `single`: there is one tunnel only. `public`: a network of either
side is public address space."""


@dataclass(frozen=True)
class Field:
    """A field of a form, and what goes into it."""

    name: str
    """As the console calls it."""
    value: str
    when: When = "always"


@dataclass(frozen=True)
class Note:
    """What to mind at a step."""

    text: str
    when: When = "always"


@dataclass(frozen=True)
class Step:
    """One form, or one place, of the console."""

    title: str
    where: str
    """The way there."""
    fields: tuple[Field, ...] = ()
    each: Each = "vpn"
    notes: tuple[Note, ...] = ()
    check: str = ""
    """What to look at afterwards, and what it says."""
    when: When = "always"


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
