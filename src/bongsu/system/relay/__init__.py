"""The relay's data plane: what carries accelerators on a PoP."""

from bongsu.system.relay.base import (
    AcceleratorCounters,
    Carried,
    LiveEndpoint,
    Occupancy,
    RelayError,
    Stray,
)
from bongsu.system.relay.plane import RelayPlane

__all__ = [
    "AcceleratorCounters",
    "Carried",
    "LiveEndpoint",
    "Occupancy",
    "RelayError",
    "RelayPlane",
    "Stray",
]
