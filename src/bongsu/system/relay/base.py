"""What the relay's data plane is told and what it tells: the agent knows this and RelayPlane."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.plan.relay import RelayPlan


class RelayError(Exception):
    """The node cannot carry accelerators as planned: the plan or the node is at fault."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class LiveEndpoint:
    """An endpoint that answers now."""

    name: str
    address: Address
    weight: int = 100
    """Its share of new clients; 0 takes none, and keeps those it has."""


@dataclass(frozen=True)
class Carried:
    """One direction of an accelerator on this node, since it was made. Bytes are of IP packets as
    clients and endpoints send them.
    """

    packets: int = 0
    bytes: int = 0
    drops: dict[str, int] = field(default_factory=dict)
    """By reason (layout.DROPS), only those that happened."""


@dataclass(frozen=True)
class AcceleratorCounters:
    """Of one accelerator on this node."""

    up: Carried
    """Towards the endpoints."""
    down: Carried
    fragments: int
    """Carried, of packets that came in pieces."""
    fragmented: int
    """Packets that were cut here, for the path is too narrow."""
    too_big_sent: int
    """ "Fragmentation needed" and "packet too big" told to senders."""
    unrepaired: int
    """Of listeners with repair, sent the ordinary way: there was no engine."""
    moved: int
    """Clients that went on from another address."""


@dataclass(frozen=True)
class Stray:
    """What belongs to no accelerator."""

    drops: dict[str, int]
    """By reason."""
    transit: int
    """Packets carried on between two other PoPs."""
    left: int
    """Packets to accelerated addresses that no listener has, left to the machine itself."""
    learned: int
    """Times that a path between PoPs said that it is narrower."""


@dataclass(frozen=True)
class Occupancy:
    """How full the tables are."""

    records: int
    """Sessions and clients now, of `capacity`."""
    unproved: int
    """Of them, those that have not shown that they are where they say; at most `unproved_capacity`."""
    capacity: int
    unproved_capacity: int
    spis: int


class RelayBackend(Protocol):
    """What carries accelerators in one network namespace: RelayPlane and KernelRelay, whose own words
    say what each does of it. What it has built carries on without the process.
    """

    @property
    def name(self) -> str:
        """`bpf` or `kernel`, as `doctor` prints it."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not the better one; empty when it is."""
        ...

    def apply(self, plan: RelayPlan, key: bytes | None) -> None: ...

    def set_path(self, destination: int, next_hop: int) -> None: ...

    def set_endpoints(
        self, accelerator: int, listener: str, endpoints: Sequence[LiveEndpoint]
    ) -> None: ...

    def sessions(self) -> npt.NDArray[Any]: ...

    def spis(self) -> npt.NDArray[Any]: ...

    def counters(self) -> dict[str, AcceleratorCounters]: ...

    def stray(self) -> Stray: ...

    def occupancy(self) -> Occupancy: ...

    def expire(self) -> int: ...

    def set_repair(self, ifindex: int | None) -> None: ...

    def detach(self) -> None: ...

    def close(self) -> None: ...
