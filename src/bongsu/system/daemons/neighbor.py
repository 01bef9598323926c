"""A BGP session as its daemon sees it: the same words for BIRD and FRR."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BgpNeighbor:
    """One session (RFC 4271)."""

    name: str
    """The daemon's name for it; FRR has none but the address."""
    address: str
    asn: int
    state: str
    """RFC 4271's word: `Established`, `Active`, `Idle` and so on."""
    since_s: float | None
    """How long it has been so; None where the daemon does not say."""
    received: int | None
    """Prefixes taken from it, after filters."""
    sent: int | None
    """Prefixes it was told of."""
    messages_received: int | None = None
    messages_sent: int | None = None
    last_error: str = ""

    @property
    def established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"
