"""What was read of a connection, whatever the format: nothing is filled in that the file does not say."""

from dataclasses import dataclass, field

from bongsu.intent.imports.reading import Line
from bongsu.model.base import Address, Interface, Prefix
from bongsu.model.vpn import Profile


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "<hidden>"


@dataclass(slots=True)
class Tunnel:
    """One tunnel. None, and an empty list: the file does not say."""

    line: Line
    """Where it begins."""
    name: str | None = None
    headend: Address | None = None
    local: Address | None = None
    """The gateway's own address, or what the Internet sees of it."""
    public: Address | None = None
    """What the Internet sees, where the file tells it apart."""
    inside: Interface | None = None
    peer: Address | None = None
    psk: Secret | None = None
    ike_version: int | None = None
    ike: list[str] = field(default_factory=list)
    """Proposals, in the spelling of bongsu.model.proposal."""
    ike_lifetime_s: int | None = None
    esp: list[str] = field(default_factory=list)
    esp_lifetime_s: int | None = None
    dpd_delay_s: int | None = None
    dpd_timeout_s: int | None = None
    mss: int | None = None
    """Greatest TCP segment inside, bytes: what the gateway is told to lower it to."""
    encapsulation: bool | None = None
    mark: int | None = None
    asn: int | None = None
    """Ours."""
    cloud_asn: int | None = None
    keepalive_s: int | None = None
    hold_s: int | None = None


@dataclass(slots=True)
class Imported:
    """A connection."""

    profile: Profile
    name: str | None = None
    """As the cloud calls it."""
    tunnels: list[Tunnel] = field(default_factory=list)
    networks: list[Prefix] = field(default_factory=list)
    """Behind the cloud's gateway."""
    libreswan: bool = False
    """The file is Libreswan's own."""
    notes: list[str] = field(default_factory=list)
    """What was in the file and is not taken over."""
