"""What an IKE daemon knows of its tunnels: the same words for strongSwan and Libreswan.

Times are seconds before now, as the daemons give them: nothing here reads a clock.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class IkeState(StrEnum):
    """How far the two gateways are (RFC 2409, RFC 7296)."""

    NONE = "none"
    """Nobody tries."""
    CONNECTING = "connecting"
    ESTABLISHED = "established"


@dataclass(frozen=True)
class EspSa:
    """A pair of security associations, one each way (RFC 4303)."""

    id: str
    """The daemon's number of it: another one after a rekeying."""
    proposal: str
    """In strongSwan's keywords, as far as the daemon says it."""
    encapsulated: bool
    """In UDP (RFC 3948)."""
    spi_in: str
    spi_out: str
    bytes_in: int
    bytes_out: int
    age_s: int | None
    rekey_in_s: int | None
    child: str = ""
    """The negotiation of phase 2 that it is of, by the name in the configuration."""
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    """Traffic selectors as they were agreed; empty where the daemon does not say."""


@dataclass(frozen=True)
class IkeSa:
    """One association between two gateways, and what it carries."""

    tunnel: str
    id: str
    version: int
    state: IkeState
    proposal: str
    local: str
    remote: str
    """Address and port."""
    local_id: str
    remote_id: str
    initiator: bool
    nat: bool
    age_s: int | None
    rekey_in_s: int | None
    esp: tuple[EspSa, ...] = field(default=())
    """Those that carry traffic."""


def best(associations: list[IkeSa]) -> IkeSa | None:
    """Of one tunnel's associations the one that counts: that carries, is established, is youngest."""
    return max(
        associations,
        key=lambda sa: (bool(sa.esp), sa.state is IkeState.ESTABLISHED, -(sa.age_s or 0)),
        default=None,
    )


def carried(associations: list[IkeSa]) -> tuple[EspSa, ...]:
    """What carries one tunnel's traffic: the best association's, and of children it has not, others'."""
    first = best(associations)
    found = list(first.esp) if first is not None else []
    had = {sa.child for sa in found}
    for association in associations:
        if association is not first:
            found += [sa for sa in association.esp if sa.child not in had]
    return tuple(found)
