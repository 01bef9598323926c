"""What every GRE backend can do. The agent knows this interface and nothing behind it.

A backend works in the network namespace of the calling thread. What it builds outlives the process:
a new one finds it again, so that traffic never waits for the agent.
"""

from dataclasses import dataclass, field
from typing import Protocol

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.keepalive.memory import Memory


class GreError(Exception):
    """A tunnel could not be made as planned: the plan or the node is at fault, not the peer."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class TunnelCounters:
    """Since the tunnel was made. Packets and bytes are those of the inner IP packets."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    keepalives_reflected: int = 0
    """The peer's keepalives that were sent back."""
    keepalives_received: int = 0
    """Our own that came back; they were given to the stack, for a raw socket to read."""
    too_big_sent: int = 0
    """ "Fragmentation needed" and "packet too big" told to inner senders."""
    too_big_received: int = 0
    """The same heard from the underlay, and believed."""
    drops: dict[str, int] = field(default_factory=dict)
    """By reason, only those that happened; the reasons are those of bongsu.system.bpf.layout."""


@dataclass(frozen=True)
class Seat:
    """Where a tunnel's keepalives are: its place in the memory, and what the backend knows of it."""

    slot: int
    up: bool
    """What set_line said last."""
    judged: bool
    """Our program sees what arrives by every underlay, and can judge replies there."""


class GreBackend(Protocol):
    """GRE tunnels in one network namespace."""

    @property
    def name(self) -> str:
        """`ebpf` or `kernel`, as `doctor` prints it."""
        ...

    def create(self, plan: TunnelPlan, underlay_mtu: int | None = None) -> bool:
        """Makes the tunnel as planned, or changes what differs; True when anything was done.

        With `other_underlays` in the plan, outer packets leave by whatever interface routing says
        at that moment, and arrive by any of the plan's.

        The same plan again changes nothing; a changed one carries traffic all the while, unless
        its ends or key change. `underlay_mtu` (bytes of the outer IP packet) bounds the inside
        MTU; without it, the smallest of the underlay interfaces' own.
        Errors: GreError.
        """
        ...

    def delete(self, name: str) -> bool:
        """Removes the tunnel and all that only it needed; False when there was none."""
        ...

    def set_line(self, name: str, up: bool) -> None:
        """Line protocol: while down, no data is carried, keepalives are, and the interface has
        lost its carrier (ebpf) or is down (kernel), so that routing daemons see it.

        Errors: GreError without such a tunnel.
        """
        ...

    def line(self, name: str) -> bool:
        """What set_line said last, True at first. Errors: GreError without such a tunnel."""
        ...

    def hold(self, name: str, held: bool) -> None:
        """Held, the tunnel is as with its line down, whatever set_line says; a second switch, that
        outlives the process like the first. Errors: GreError without such a tunnel.
        """
        ...

    def held(self) -> set[str]:
        """The tunnels that are held."""
        ...

    def recursive(self) -> dict[str, str]:
        """Tunnels whose way to the peer leads into a tunnel of this node, their own or another's,
        with the name of that one: what they send would come round again, and is dropped. To be
        called about once a second. A tunnel that has sent nothing since the last call is not
        found (ebpf), nor one before its turn (kernel).
        """
        ...

    def reaches(self, name: str) -> bool:
        """Whether a way leads to the peer now, and into no tunnel of this node. While the tunnel is
        held, routes by it do not count. Errors: GreError without such a tunnel.
        """
        ...

    def counters(self) -> dict[str, TunnelCounters]:
        """Of every tunnel, by name."""
        ...

    def names(self) -> list[str]:
        """The tunnels that exist, sorted, whoever made them: this process or an earlier one."""
        ...

    def mtu(self, name: str) -> int:
        """The largest inner packet that passes now. Errors: GreError without such a tunnel."""
        ...

    def refresh(self) -> dict[str, int]:
        """Lets the interfaces follow the path MTU; to be called about once a second.

        Returns the inside MTU, bytes, of every tunnel whose interface was changed.
        """
        ...

    def keepalive_memory(self) -> Memory:
        """Where keepalive sessions live; Memory.private() where no program of ours runs."""
        ...

    def seats(self) -> dict[str, Seat]:
        """Of every tunnel, by name."""
        ...

    def close(self) -> None:
        """Lets go of descriptors and sockets; the tunnels stay."""
        ...
