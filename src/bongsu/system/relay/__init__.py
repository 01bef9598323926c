"""The relay's data plane: what carries accelerators on a PoP."""

from bongsu.system.relay.base import (
    AcceleratorCounters,
    Carried,
    LiveEndpoint,
    Occupancy,
    RelayBackend,
    RelayError,
    Stray,
)
from bongsu.system.relay.choose import choose_relay
from bongsu.system.relay.kernel import KernelRelay
from bongsu.system.relay.plane import RelayPlane

__all__ = [
    "AcceleratorCounters",
    "Carried",
    "KernelRelay",
    "LiveEndpoint",
    "Occupancy",
    "RelayBackend",
    "RelayError",
    "RelayPlane",
    "Stray",
    "choose_relay",
]
