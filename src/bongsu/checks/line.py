"""A tunnel as it is laid on the underlay."""

from dataclasses import dataclass

from bongsu.model.base import Address
from bongsu.model.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Line:
    """A tunnel as laid: its two ends on the underlay, and what fits through it."""

    name: str
    tunnel: Tunnel
    outer: dict[str, Address]
    """Outer address of each end, by node."""
    speaks: dict[str, str]
    """The interface of each end, by node, whose address that is: an underlay or a loopback."""
    vrf: dict[str, str | None]
    """The routing table that outer packets of each end look their way up in."""
    overhead: int
    """Bytes that the encapsulation adds, with ESP if there is IPsec."""
    room: int
    """The largest inner packet that the underlay carries whole."""
    mtu: int
    """Inside MTU: stated, or the room."""

    def peer(self, node: str) -> str:
        """The node at the other end."""
        return next(name for name in self.outer if name != node)
