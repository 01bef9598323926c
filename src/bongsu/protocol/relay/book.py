"""The sessions of one PoP: made, found by what their packets show, proved, moved, forgotten."""

from collections.abc import Mapping, Sequence

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan
from bongsu.protocol.relay import ip
from bongsu.protocol.relay.content import NAT_TRAVERSAL_PORT, Content, classify
from bongsu.protocol.relay.ip import UDP, Packet
from bongsu.protocol.relay.session import SILENCE_NS, Flow, Session, newer
from bongsu.protocol.siphash import siphash

WHEEL = 1021
PROBES = 16
PORT_FIRST, PORTS = 1024, 32768 - 1024
"""Chosen off ports: not those that a machine gives its own sockets."""
FRAGMENT_NS = 60 * 10**9

Wheels = Mapping[tuple[int, str], Sequence[Address | None]]
Piece = tuple[Address, Address, int, int, int, str]
Back = tuple[Address, Address, int, int, int]
"""Off address, endpoint, off port, port, protocol."""


class Refused(Exception):  # noqa: N818
    """Ends a judgement: the packet is dropped, and this is why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Book:
    """All of them. `room`: how many there may be, half of them strangers."""

    def __init__(self, key: bytes | None, wheels: Wheels, room: int) -> None:
        self.wheels, self.room = wheels, room
        self._key = key or bytes(16)
        self.sessions: dict[Flow, Session] = {}
        self.backs: dict[Back, Session] = {}
        self._pieces: dict[Piece, tuple[int, Session | ListenerPlan]] = {}
        self._by_esp: dict[tuple[int, int], Session] = {}
        self._by_ike: dict[tuple[int, bytes, str], Session] = {}

    def make(
        self, flow: Flow, plan: AcceleratorPlan, listener: ListenerPlan, peer: int, now: int
    ) -> Session:
        """A new session of a flow. Errors: Refused."""
        strangers = sum(not each.lasting for each in self.sessions.values())
        if strangers >= self.room // 2:
            raise Refused("unproved")
        if len(self.sessions) >= self.room:
            raise Refused("no_room")
        made = Session(flow, plan, listener, peer, now, now, now)
        if made.role == "egress":
            made.endpoint = self._choose(flow, plan, listener)
            self._take_port(made)
        self.sessions[flow] = made
        return made

    def _choose(self, flow: Flow, plan: AcceleratorPlan, listener: ListenerPlan) -> Address:
        wheel = self.wheels.get((plan.number, listener.name), ())
        client = ip.mapped(flow[2])
        covered = client if listener.affinity == "client" else _whole(flow)
        place = _hash(self._key, covered) % WHEEL
        found = wheel[place] if wheel else None
        if found is None or found.version != flow[2].version:
            raise Refused("no_endpoint")
        return found

    def _take_port(self, session: Session) -> None:
        flow = session.flow
        digest = _hash(self._key, _whole(flow))
        base, step = (digest & 0xFFFFFFFF) % PORTS, (digest >> 32) % (PORTS - 1) + 1
        port = flow[3]
        assert session.endpoint is not None
        for _ in range(PROBES):
            back = (session.accelerator.off_address, session.endpoint, port, flow[5], flow[6])
            if port and back not in self.backs:
                session.off_port = port
                self.backs[back] = session
                return
            port, base = PORT_FIRST + base, (base + step) % PORTS
        raise Refused("no_port")

    def move(
        self, packet: Packet, flow: Flow, accelerator: int, peer: int, now: int
    ) -> Session | None:
        """The session that goes on from this packet's address, for it has its SPI; None without one."""
        if packet.dport != NAT_TRAVERSAL_PORT or packet.protocol != UDP:
            return None
        content = classify(packet.payload, packet.dport)
        old: Session | None = None
        if content.kind == "esp":
            old = self._by_esp.get((accelerator, content.spi))
            if old and not newer(content.sequence, old.sequences[content.spi]):
                return None
        elif content.answered:
            old = self._by_ike.get((accelerator, content.initiator, "egress"))
            if old and (old.initiator, old.responder) != (content.initiator, content.responder):
                return None
        if (
            old is None
            or old.proof != "proved"
            or old.flow[5:] != flow[5:]
            or old.last_up + SILENCE_NS > now
            or old.client[0].version != flow[2].version
            or len(self.sessions) >= self.room
        ):
            return None
        del self.sessions[old.flow]
        old.flow, old.peer, old.last_up = flow, peer, now
        self.sessions[flow] = old
        return old

    def forget(self, session: Session) -> None:
        """It is found no more."""
        del self.sessions[session.flow]
        self.backs = {key: each for key, each in self.backs.items() if each is not session}
        self._by_esp = {key: each for key, each in self._by_esp.items() if each is not session}
        self._by_ike = {key: each for key, each in self._by_ike.items() if each is not session}

    def note_up(self, session: Session, packet: Packet, content: Content, now: int) -> None:
        """What a packet to the endpoint changes."""
        self._prove_up(session, packet, content)
        esp = content.kind == "esp" and session.role == "egress"
        if esp and session.knows("up", content.spi):
            session.heard(content)
            self._by_esp.setdefault((session.accelerator.number, content.spi), session)
        session.saw(packet, "up")
        session.last_up = now
        session.up_packets += 1
        session.up_bytes += len(packet.data)

    def note_down(self, session: Session, packet: Packet, content: Content, now: int) -> None:
        """What a packet to the client changes."""
        if session.listener.validation == "tcp":
            if packet.fragment != "later":
                session.expect(packet)
        elif content.answered:
            self._prove_down(session, content)
        if content.kind == "esp" and session.role == "egress":
            session.knows("down", content.spi)
        session.saw(packet, "down")
        session.last_down = now
        session.down_packets += 1
        session.down_bytes += len(packet.data)

    def _prove_up(self, session: Session, packet: Packet, content: Content) -> None:
        if session.proof == "proved":
            return
        if session.listener.validation == "tcp":
            if session.acknowledged(packet):
                session.proof = "proved"
        elif content.answered:
            key = (session.accelerator.number, content.initiator, session.role)
            other = self._by_ike.get(key)
            if (
                other is not None
                and (other.initiator, other.responder) == (content.initiator, content.responder)
                and other.client[0] == session.client[0]
            ):
                session.proof = "proved"
                session.initiator, session.responder = content.initiator, content.responder
                if session.flow[5] == NAT_TRAVERSAL_PORT:
                    self._by_ike[key] = session
                return
        if session.proof == "new" and session.down_packets:
            session.proof = "twoway"

    def _prove_down(self, session: Session, content: Content) -> None:
        told = (content.initiator, content.responder)
        if (session.initiator, session.responder) == told:
            return
        number, role = session.accelerator.number, session.role
        if session.initiator and session.initiator != content.initiator:
            before = (number, session.initiator, role)
            if self._by_ike.get(before) is session:
                del self._by_ike[before]
        session.initiator, session.responder = told
        key = (number, content.initiator, role)
        other = self._by_ike.get(key)
        if other is None or other.client[0] == session.client[0]:
            self._by_ike[key] = session

    def remember(
        self, packet: Packet, accelerator: int, role: str, kept: Session | ListenerPlan, now: int
    ) -> None:
        """Where the fragments that follow this first one belong."""
        self._pieces[_piece(packet, accelerator, role)] = (now + FRAGMENT_NS, kept)

    def recall(self, packet: Packet, accelerator: int, role: str, now: int) -> Session | None:
        """The session of a later fragment, None if its first has not been seen."""
        kept = self._kept(packet, accelerator, role, now)
        if not isinstance(kept, Session) or self.sessions.get(kept.flow) is not kept:
            return None
        ends = {packet.source, packet.target}
        inside = ends == {kept.flow[2], kept.flow[4]}
        outside = ends == {kept.accelerator.off_address, kept.endpoint}
        return kept if inside or outside else None

    def recall_listener(self, packet: Packet, now: int) -> ListenerPlan | None:
        """The same where a packet enters and leaves at one PoP."""
        kept = self._kept(packet, 0, "", now)
        return kept if isinstance(kept, ListenerPlan) else None

    def _kept(
        self, packet: Packet, accelerator: int, role: str, now: int
    ) -> Session | ListenerPlan | None:
        until, kept = self._pieces.get(_piece(packet, accelerator, role), (0, None))
        return kept if until >= now else None


def _piece(packet: Packet, accelerator: int, role: str) -> Piece:
    return (
        packet.source, packet.target, packet.identification, packet.protocol, accelerator, role,
    )  # fmt: skip


def _whole(flow: Flow) -> bytes:
    _, _, client, client_port, address, port, protocol = flow
    ports = client_port.to_bytes(2, "big") + port.to_bytes(2, "big")
    return ip.mapped(client) + ip.mapped(address) + ports + protocol.to_bytes(4, "little")


def _hash(key: bytes, message: bytes) -> int:
    """As the data plane has it: the eight bytes as a little-endian number."""
    return int.from_bytes(siphash(key, message), "little")
