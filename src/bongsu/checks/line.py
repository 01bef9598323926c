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
    underlay: dict[str, str]
    """Underlay interface of each end, by node."""
    overhead: int
    room: int
    """The largest inner packet that the underlay carries whole."""
    mtu: int
    """Inside MTU: stated, or the room."""
