"""A global accelerator: UDP or TCP that enters at a near PoP leaves at a far one, from one fixed address.

What the field calls it: a client's packet comes to the *accelerated address* of a *region*, on a port
of a *listener*; it crosses between our PoPs by the best path and leaves the *egress* PoP from the
*off address* towards an *endpoint*. To both ends the accelerator is a NAT.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bongsu.model.base import AddressField, Model, Name, Port, Positive, SecretRef, Whole


class Mesh(Model):
    """How the paths between the PoPs are measured, and when another one is taken."""

    interval_ms: Annotated[Whole, Field(ge=20, le=60000)] = 200
    """Between two probes to one PoP; with many PoPs it grows, so that `rate` holds."""
    rate: Annotated[Whole, Field(ge=1, le=10000)] = 200
    """Probes a second that a node sends at most, to all others together."""
    window_s: Annotated[Whole, Field(ge=1, le=3600)] = 30
    """Loss and RTT are of this much past."""
    dead_after: Annotated[Whole, Field(ge=2, le=255)] = 5
    """Probes without an answer, one after the other, that make a path dead."""
    hold_s: Annotated[Whole, Field(ge=0, le=3600)] = 10
    """A path that was left is not taken again, nor a better one, before this time is over; a dead
    path is left at once."""
    better_percent: Annotated[Whole, Field(ge=0, le=100)] = 10
    """How much better another path has to be."""

    @model_validator(mode="after")
    def _long_enough(self) -> "Mesh":
        if self.window_s * 1000 < self.interval_ms * self.dead_after:
            raise ValueError(
                f"{self.dead_after} probes, {self.interval_ms} ms apart, take longer than the "
                f"{self.window_s} s of `window_s`"
            )
        return self


class Relay(Model):
    """What the PoPs that carry accelerators have in common."""

    port: Annotated[Port, Field(le=65533)] = 4610
    """UDP, between the PoPs: relayed packets; the next port measures, the one after repairs."""
    key: SecretRef | None = None
    """Authenticates what the PoPs send each other, by reference; at least 16 bytes."""
    insecure: bool = False
    """No key, known and meant: whoever can forge a PoP's address can send in its name."""
    over: Literal["udp", "tunnels"] = "udp"
    """Between uplink addresses, or inside a GRE tunnel of this file wherever two PoPs have one."""
    mesh: Mesh = Mesh()


class Region(Model):
    """Where clients of an accelerator enter."""

    node: Name
    """The PoP."""
    address: AddressField
    """The accelerated address, as the PoP's machine has it: on an interface of its own, or in a
    prefix that it announces (then several regions may share it: anycast)."""
    public: AddressField | None = None
    """As clients see it, where a 1:1 NAT stands in front."""


class Egress(Model):
    """Where an accelerator's traffic leaves towards its endpoints."""

    node: Name
    off_address: AddressField | None = None
    """The one source that endpoints ever see, an address of the PoP's own."""
    public: AddressField | None = None
    """As endpoints see it, where a 1:1 NAT stands in front."""


HostName = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$",
    ),
]
"""A fully qualified name (RFC 1123)."""


class Endpoint(Model):
    """A gateway or server that an accelerator leads to."""

    address: AddressField | HostName
    """By name, it is looked up by the egress PoP, again and again."""
    weight: Annotated[Whole, Field(ge=0, le=255)] = 100
    """Its share of new clients; 0 takes none."""


class Health(Model):
    """How the egress PoP finds out whether an endpoint lives."""

    probe: Literal["ike", "tcp", "icmp"] | None = None
    """IKE_SA_INIT without a key exchange that is answered, a TCP handshake, or an echo; without it
    what fits the listener."""
    interval_s: Annotated[Whole, Field(ge=1, le=3600)] = 5
    misses: Annotated[Whole, Field(ge=1, le=255)] = 3
    """Probes without an answer that take an endpoint out; one answer brings it back."""


class ReedSolomon(Model):
    """Loss repaired by parity packets (systematic Reed-Solomon, interleaved)."""

    mode: Literal["reed-solomon"]
    block: Annotated[Whole, Field(ge=2, le=64)] = 32
    """Data packets that share parity."""
    overhead_percent: Annotated[Whole, Field(ge=5, le=100)] = 25
    """Parity at most; how much is sent follows the loss that is measured."""
    delay_ms: Annotated[Whole, Field(ge=1, le=1000)] = 20
    """What a repaired packet may be late, at most."""


class Duplicate(Model):
    """Every packet sent twice, by two paths where there are two."""

    mode: Literal["duplicate"]


Repair = Annotated[ReedSolomon | Duplicate, Field(discriminator="mode")]

PortRange = Annotated[str, Field(pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")]


class Listener(Model):
    """Ports of the accelerated addresses, and where what comes to them is led."""

    protocol: Literal["udp", "tcp"] = "udp"
    ports: Annotated[list[Port | PortRange], Field(min_length=1, max_length=32)]
    """Ports and ranges, `[500, 4500, 6000-6100]`; the endpoint is spoken to at the same port."""
    endpoints: Annotated[dict[Name, Endpoint], Field(min_length=1, max_length=64)]
    """The endpoint group."""
    health: Health | Literal[False] = Health()
    affinity: Literal["client", "none"] = "client"
    """All that one client address sends goes to one endpoint, or each flow to any."""
    idle_s: Annotated[Whole, Field(ge=5, le=86400)] = 300
    """A session without a packet for so long is forgotten."""
    amplification: Annotated[Whole, Field(ge=1, le=100)] | Literal["unlimited"] = 3
    """Bytes sent to a client for each that came from it, until it has proved to be where it says."""
    repair: Repair | None = None
    traffic_mbps: Positive | None = None
    """What is expected, for a check against the bandwidth."""

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First and last port of each, as in the file."""
        return [
            (port, port) if isinstance(port, int) else _bounds(port)  # a range is text
            for port in self.ports
        ]

    @model_validator(mode="after")
    def _ordered(self) -> "Listener":
        for first, last in self.ranges:
            if not 1 <= first <= last <= 65535:
                raise ValueError(f"ports {first}-{last}: from 1 to 65535, the lower one first")
        return self


def _bounds(text: str) -> tuple[int, int]:
    first, last = text.split("-")
    return int(first), int(last)


class Accelerator(Model):
    """One accelerator."""

    bandwidth_mbps: Positive | None = None
    """As bought, each direction; what exceeds it is dropped."""
    regions: Annotated[dict[Name, Region], Field(min_length=1)]
    egress: Egress
    source_consistent: bool = True
    """Endpoints see the off address and no other, whatever happens."""
    listeners: Annotated[dict[Name, Listener], Field(min_length=1)]
