"""What the network promises: assertions declared in the file, tried in the lab, later in production."""

from typing import Annotated, Literal

from pydantic import Field

from bongsu.model.base import AddressField, Asn, Model, Name, Positive

Fault = Annotated[
    str,
    Field(
        pattern=r"^(link-down|silent-loss|node-kill|daemon-kill|wrong-key):[a-z][a-z0-9-]*(/[\w.-]+)?$"
    ),
]
"""`link-down:NODE[/INTERFACE]`, `silent-loss:NODE[/INTERFACE]`, `silent-loss:TUNNEL`,
`daemon-kill:NODE/DAEMON`, `node-kill:NODE` or, of a cloud's headend, `node-kill:CLOUD/TUNNEL`,
`wrong-key:TUNNEL`."""

Target = Name | AddressField
Sources = Annotated[list[Name], Field(min_length=1)] | Literal["vantages"]


class Assertion(Model):
    """Common to all: who looks, at what, and an optional text for the report."""

    says: str | None = None
    from_: Annotated[Sources, Field(alias="from")] = "vantages"
    """Names of vantage points; without it, all of them."""
    to: Target
    """A host of the lab, or an address."""


class Reach(Assertion):
    """Every source gets an answer from the target, with at most this share of probes lost."""

    expect: Literal["reach"]
    max_loss: Annotated[float, Field(ge=0, lt=1)] = 0
    max_rtt_ms: Annotated[float, Field(gt=0)] | None = None


class Entry(Assertion):
    """Traffic of every source enters the network at this PoP."""

    expect: Literal["entry"]
    pop: Name


class Path(Assertion):
    """The AS path seen at every source, nearest AS first, ours last."""

    expect: Literal["path"]
    as_path: list[Asn]


class Unreachable(Assertion):
    """No source gets an answer from the target."""

    expect: Literal["unreachable"]


class Outage(Assertion):
    """Under the fault, no source is without an answer for longer than `max_ms`."""

    expect: Literal["outage"]
    fault: Fault
    max_ms: Positive
    then_pop: Name | None = None
    """The PoP that every source enters by once the fault has been survived."""


AnyAssertion = Annotated[Reach | Entry | Path | Unreachable | Outage, Field(discriminator="expect")]
