"""A session as both ends of the relay keep it, and how its client proves where it is."""

from dataclasses import dataclass, field
from typing import Literal

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan
from bongsu.protocol.relay.content import Content
from bongsu.protocol.relay.ip import ACK, FIN, RST, SYN, TCP, Packet

UNPROVED_NS = 10 * 10**9
"""An unproved client is forgotten after so long without a packet."""
SILENCE_NS = 10**9
"""A client may move when nothing came from where it was for so long."""
SPIS, STRANGE_SPIS = 64, 2
"""ESP SPIs of one session that are known, both directions; of a client that has not proved itself."""

Flow = tuple[str, int, Address, int, Address, int, int]
"""Role, accelerator (0 at the entry), client, its port, accelerated address, port, protocol."""


@dataclass
class Session:
    """One client's flow at one PoP."""

    flow: Flow
    accelerator: AcceleratorPlan
    listener: ListenerPlan
    peer: int
    """Number of the PoP at the other end, 0: it is this one."""
    first: int
    last_up: int
    last_down: int
    off_port: int = 0
    endpoint: Address | None = None
    proof: Literal["new", "twoway", "proved"] = "new"
    up_packets: int = 0
    up_bytes: int = 0
    down_packets: int = 0
    down_bytes: int = 0
    initiator: bytes = b""
    responder: bytes = b""
    acknowledges: int | None = None
    sequences: dict[int, int] = field(default_factory=dict)
    """Highest ESP sequence number by SPI, upwards."""
    latest: dict[str, int] = field(default_factory=dict)
    """The SPI seen last, by direction."""
    spis: set[tuple[str, int]] = field(default_factory=set)
    """Those that are known: one client must not fill the table."""
    closing: set[str] = field(default_factory=set)

    @property
    def role(self) -> str:
        """entry or egress."""
        return self.flow[0]

    @property
    def client(self) -> tuple[Address, int]:
        """Address and port."""
        return self.flow[2], self.flow[3]

    @property
    def lasting(self) -> bool:
        """Whether it counts as a client of ours and not as a stranger."""
        return self.proof == "proved" or (
            self.proof == "twoway" and self.listener.validation == "none"
        )

    def amplifies(self, size: int) -> bool:
        """Whether so many bytes more are too many for a client that has proved nothing."""
        limit = self.listener.amplification
        if self.proof == "proved" or limit is None:
            return False
        return self.down_bytes + size > self.up_bytes * limit

    def acknowledged(self, packet: Packet) -> bool:
        """Whether TCP says that the client has what was sent to it last."""
        return (
            bool(packet.flags & ACK)
            and bool(self.acknowledges)
            and packet.acknowledgement == self.acknowledges
        )

    def expect(self, packet: Packet) -> None:
        """Takes down what an honest client would say to this segment."""
        if self.proof != "proved" and not packet.flags & RST:
            length = len(packet.payload) + bool(packet.flags & SYN) + bool(packet.flags & FIN)
            self.acknowledges = packet.sequence + length & 0xFFFFFFFF

    def saw(self, packet: Packet, way: str) -> None:
        """TCP's opening and closing."""
        if packet.protocol != TCP or packet.fragment == "later":
            return
        if packet.flags & RST:
            self.closing |= {"up", "down"}
        elif packet.flags & SYN:
            self.closing.clear()
        elif packet.flags & FIN:
            self.closing.add(way)

    def knows(self, way: str, spi: int) -> bool:
        """Takes down the SPI of a packet, as long as there is room; whether it is known."""
        if self.latest.get(way) != spi:
            self.latest[way] = spi
            if len(self.spis) < (SPIS if self.proof == "proved" else STRANGE_SPIS):
                self.spis.add((way, spi))
        return (way, spi) in self.spis

    def heard(self, content: Content) -> None:
        """The highest sequence number of an SPI."""
        if content.kind == "esp":
            before = self.sequences.get(content.spi, 0)
            if newer(content.sequence, before):
                self.sequences[content.spi] = content.sequence
            else:
                self.sequences.setdefault(content.spi, before)

    def expired(self, now: int) -> bool:
        """Whether it has been idle for too long."""
        limit = self.listener.idle_s * 10**9
        if not self.lasting or self.closing == {"up", "down"}:
            limit = min(limit, UNPROVED_NS)
        return now - max(self.last_up, self.last_down) > limit


def newer(sequence: int, than: int) -> bool:
    """Sequence numbers wrap."""
    return 0 < (sequence - than) % 2**32 < 2**31
