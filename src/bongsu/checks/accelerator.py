"""Accelerators as the checks look at them: listeners with their place, and the tunnels that use them."""

from collections.abc import Iterator
from dataclasses import dataclass

from bongsu.checks.connection import Connection, Pipe
from bongsu.checks.finding import Path
from bongsu.model.accelerator import Accelerator, Listener
from bongsu.model.network import Network

IKE, NAT_T = 500, 4500
"""UDP ports of IKE (RFC 7296), and of IKE and ESP where a NAT is on the way (RFC 3948)."""


@dataclass(frozen=True, slots=True)
class Ear:
    """A listener of an accelerator."""

    name: str
    accelerator: str
    item: Listener

    @property
    def at(self) -> Path:
        """Its place in the file."""
        return "accelerators", self.accelerator, "listeners", self.name

    def hears(self, protocol: str, port: int) -> bool:
        """Whether it takes what comes to that port."""
        if self.item.protocol != protocol:
            return False
        return any(first <= port <= last for first, last in self.item.ranges)


@dataclass(frozen=True, slots=True)
class Ride:
    """An IPsec tunnel that goes through an accelerator."""

    connection: Connection
    pipe: Pipe
    name: str
    """The accelerator's."""
    accelerator: Accelerator
    ears: list[Ear]
    """Those of its listeners that take IKE or ESP in UDP."""


def ears_of(name: str, accelerator: Accelerator) -> list[Ear]:
    """The listeners of one accelerator, in the file's order."""
    return [Ear(key, name, listener) for key, listener in accelerator.listeners.items()]


def ears(network: Network) -> Iterator[Ear]:
    """All listeners, in the file's order."""
    for name, accelerator in network.accelerators.items():
        yield from ears_of(name, accelerator)


def rides(network: Network, pipes: list[tuple[Connection, Pipe]]) -> Iterator[Ride]:
    """All tunnels through accelerators, in the file's order."""
    for connection, pipe in pipes:
        name = pipe.tunnel.accelerator
        if name is not None:
            accelerator = network.accelerators[name]
            takes = [
                ear
                for ear in ears_of(name, accelerator)
                if ear.hears("udp", IKE) or ear.hears("udp", NAT_T)
            ]
            yield Ride(connection, pipe, name, accelerator, takes)
