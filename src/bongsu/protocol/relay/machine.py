"""A PoP's part in the relay as a machine: packets and the time in, what becomes of them out.

The reference of system/bpf/relay_judge.h, without what only a kernel has: routes, path MTU, the bandwidth,
interfaces. Names and order of the reasons are those of its counters.
"""

from dataclasses import dataclass, replace

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RelayPlan
from bongsu.protocol.relay import ip
from bongsu.protocol.relay.book import Book, Refused, Wheels
from bongsu.protocol.relay.content import OTHER, Content, classify
from bongsu.protocol.relay.ip import TCP, UDP, Packet
from bongsu.protocol.relay.packet import (
    DOWN,
    LENGTH,
    UP,
    Header,
    HeaderError,
    derive,
    seal,
    tag,
    unpack,
)
from bongsu.protocol.relay.session import Flow, Session

_PROTOCOL = {"udp": UDP, "tcp": TCP}


@dataclass(frozen=True)
class Pass:
    """No business of the relay."""


@dataclass(frozen=True)
class Drop:
    """Not carried, for this reason."""

    reason: str


@dataclass(frozen=True)
class Send:
    """An IP packet to be routed: to a client, an endpoint or another PoP."""

    packet: bytes


Verdict = Pass | Drop | Send


class Machine:
    """`wheels`: by number of the accelerator and name of the listener, the endpoint at each of 1021
    places, or None. `hosted`: addresses that the machine has itself. `room`: records.
    """

    def __init__(
        self,
        plan: RelayPlan,
        secret: bytes | None,
        wheels: Wheels,
        hosted: frozenset[Address] = frozenset(),
        room: int = 65536,
    ) -> None:
        self.plan, self.hosted = plan, hosted
        self.key = derive(secret) if secret is not None else None
        self.book = Book(self.key, wheels, room)
        self.next = {peer.number: peer.number for peer in plan.peers}
        self._peers = {peer.number: peer for peer in plan.peers}
        self._accelerators = {each.number: each for each in plan.accelerators}

    def receive(self, data: bytes, now: int) -> Verdict:
        """What becomes of an IP packet that arrived; `now` is monotonic, ns."""
        packet = ip.parse(data)
        if packet is None:
            return Pass()
        try:
            return self._judge(packet, now)
        except Refused as refused:
            return Drop(refused.reason)

    def expire(self, now: int) -> int:
        """Forgets sessions that were idle too long; how many."""
        old = [each for each in self.book.sessions.values() if each.expired(now)]
        for each in old:
            self.book.forget(each)
        return len(old)

    def _judge(self, packet: Packet, now: int) -> Verdict:
        local = {peer.local for peer in self.plan.peers}
        whole_udp = packet.protocol == UDP and packet.fragment == "whole"
        if packet.target in local and whole_udp and packet.dport == self.plan.port:
            return self._arrive(packet, now)
        mine = [a for a in self._accelerators.values() if a.egress_number == self.plan.number]
        off, region = (
            packet.target in {a.off_address for a in mine},
            packet.target in self._regions(),
        )
        verdict: Verdict = Pass()
        if packet.protocol in (UDP, TCP):
            if off:
                verdict = self._from_endpoint(packet, now)
            if region and isinstance(verdict, Pass):
                verdict = self._enter(packet, now)
        alien = (off or region) and packet.target not in self.hosted | local
        if alien and isinstance(verdict, Pass):
            raise Refused("unknown_listener" if region else "unknown_client")
        return verdict

    # from another PoP

    def _arrive(self, packet: Packet, now: int) -> Verdict:
        ends = {(peer.local, peer.remote): peer for peer in self.plan.peers}
        sender = ends.get((packet.target, packet.source))
        if sender is None or packet.sport != self.plan.port:
            raise Refused("unknown_peer")
        if len(packet.payload) <= LENGTH:
            raise Refused("header")
        try:
            head = unpack(packet.payload)
        except HeaderError:
            raise Refused("header") from None
        inner = ip.parse(packet.payload[LENGTH:])
        if inner is None or inner.protocol not in (UDP, TCP):
            raise Refused("malformed")
        if head.destination != self.plan.number:
            return self._carry_on(packet, head, inner)
        direct = head.hops == 1
        if head.source not in self._peers or (direct and head.source != sender.number):
            raise Refused("unknown_node")
        if head.kind == UP:
            return self._egress(inner, head, head.accelerator, head.source, now)
        return self._deliver(inner, head, now)

    def _carry_on(self, packet: Packet, head: Header, inner: Packet) -> Verdict:
        self._check(head, inner)
        if head.hops != 1:
            raise Refused("hops_spent")
        to = self._peers.get(head.destination)
        if to is None:
            raise Refused("unknown_node")
        if to.remote == packet.source:
            raise Refused("recursive")
        onward = replace(head, hops=0).pack() + inner.data
        return Send(ip.outer(to.local, to.remote, self.plan.port, inner.tos, onward))

    def _check(self, head: Header, inner: Packet) -> None:
        if tag(head, inner.data, self.key) != head.tag:
            raise Refused("bad_tag")

    # at the egress

    def _egress(
        self, packet: Packet, head: Header | None, accelerator: int, node: int, now: int
    ) -> Verdict:
        peer = node if head is not None else 0
        flow: Flow = (
            "egress", accelerator, packet.source, packet.sport, packet.target, packet.dport,
            packet.protocol,
        )  # fmt: skip
        if packet.fragment == "later":
            session = self.book.recall(packet, accelerator, "egress", now)
        else:
            session = self.book.sessions.get(flow)
        if head is not None:
            self._check(head, packet)
        plan = self._accelerators.get(accelerator)
        regions = plan.regions if plan and plan.egress_number == self.plan.number else []
        if plan is None or (node, packet.target) not in {(r.number, r.address) for r in regions}:
            raise Refused("unknown_region")
        if packet.fragment == "later":
            if session is None:
                raise Refused("fragment")
            return self._leave(session, packet, OTHER, now)
        if session is None:
            listener = _listener_at(plan, packet)
            if listener is None:
                raise Refused("unknown_listener")
            session = self.book.move(packet, flow, accelerator, peer, now)
            session = session or self.book.make(flow, plan, listener, peer, now)
        if packet.fragment == "first":
            self.book.remember(packet, accelerator, "egress", session, now)
        session.peer = peer
        return self._leave(session, packet, _content(session, packet, packet.dport), now)

    def _leave(self, session: Session, packet: Packet, content: Content, now: int) -> Verdict:
        if packet.ttl <= 1:
            raise Refused("ttl")
        self.book.note_up(session, packet, content, now)
        assert session.endpoint is not None
        off, port = session.accelerator.off_address, session.flow[5]
        return Send(ip.translate(packet, off, session.off_port, session.endpoint, port))

    def _from_endpoint(self, packet: Packet, now: int) -> Verdict:
        if packet.fragment == "later":
            session = self.book.recall(packet, 0, "egress", now)
        else:
            session = self.book.backs.get(
                (packet.target, packet.source, packet.dport, packet.sport, packet.protocol)
            )
        if session is None:
            return Pass()
        if packet.fragment == "first":
            self.book.remember(packet, 0, "egress", session, now)
        if session.amplifies(len(packet.data)):
            raise Refused("amplified")
        if packet.ttl <= 1:
            raise Refused("ttl")
        client, client_port = session.client
        _, _, _, _, address, port, _ = session.flow
        inner = ip.translate(packet, address, port, client, client_port)
        out = inner
        if session.peer:
            out = self._wrap(session, DOWN, inner, packet.tos)
        self.book.note_down(session, packet, _content(session, packet, packet.sport), now)
        return Send(out)

    # at the entry

    def _enter(self, packet: Packet, now: int) -> Verdict:
        alien = packet.target not in self.hosted
        if packet.fragment == "later":
            session = self.book.recall(packet, 0, "entry", now)
            if session is None:
                kept = self.book.recall_listener(packet, now)
                if kept is not None:
                    plan = self._owner(kept)
                    return self._egress(packet, None, plan.number, self.plan.number, now)
                if alien:
                    raise Refused("fragment")
                return Pass()
        else:
            flow: Flow = (
                "entry", 0, packet.source, packet.sport, packet.target, packet.dport, packet.protocol,
            )  # fmt: skip
            session = self.book.sessions.get(flow)
        if session is None:
            found = self._entrance(packet)
            if found is None:
                if alien:
                    raise Refused("unknown_listener")
                return Pass()
            plan, listener = found
            if ip.nowhere(packet.source):
                raise Refused("malformed")
            if plan.egress_number == self.plan.number:
                if packet.fragment == "first":
                    self.book.remember(packet, 0, "", listener, now)
                return self._egress(packet, None, plan.number, self.plan.number, now)
            if plan.egress_number not in self._peers:
                raise Refused("unknown_node")
            session = self.book.make(flow, plan, listener, plan.egress_number, now)
        if packet.fragment == "first":
            self.book.remember(packet, 0, "entry", session, now)
        out = self._wrap(session, UP, packet.data, packet.tos)
        self.book.note_up(session, packet, _content(session, packet, packet.dport), now)
        return Send(out)

    def _deliver(self, packet: Packet, head: Header, now: int) -> Verdict:
        if packet.fragment == "later":
            session = self.book.recall(packet, head.accelerator, "entry", now)
        else:
            session = self.book.sessions.get(
                (
                    "entry",
                    0,
                    packet.target,
                    packet.dport,
                    packet.source,
                    packet.sport,
                    packet.protocol,
                )
            )
        if session is not None and session.accelerator.number != head.accelerator:
            session = None
        self._check(head, packet)
        if session is None:
            raise Refused("fragment" if packet.fragment == "later" else "unknown_client")
        if session.accelerator.egress_number != head.source:
            raise Refused("unknown_node")
        if packet.fragment == "first":
            self.book.remember(packet, head.accelerator, "entry", session, now)
        self.book.note_down(session, packet, _content(session, packet, packet.sport), now)
        return Send(packet.data)

    def _wrap(self, session: Session, kind: int, inner: bytes, tos: int) -> bytes:
        head = Header(kind, 1, session.peer, self.plan.number, session.accelerator.number)
        to = self._peers[self.next[session.peer]]
        inside = seal(head, inner, self.key) + inner
        return ip.outer(to.local, to.remote, self.plan.port, tos, inside)

    def _regions(self) -> set[Address]:
        return {
            region.address
            for each in self._accelerators.values()
            for region in each.regions
            if region.number == self.plan.number
        }

    def _entrance(self, packet: Packet) -> tuple[AcceleratorPlan, ListenerPlan] | None:
        for plan in self._accelerators.values():
            for region in plan.regions:
                if (region.number, region.address) == (self.plan.number, packet.target):
                    listener = _listener_at(plan, packet)
                    if listener is not None:
                        return plan, listener
        return None

    def _owner(self, listener: ListenerPlan) -> AcceleratorPlan:
        return next(
            a for a in self._accelerators.values() if any(each is listener for each in a.listeners)
        )


def _listener_at(plan: AcceleratorPlan, packet: Packet) -> ListenerPlan | None:
    for listener in plan.listeners:
        if _PROTOCOL[listener.protocol] == packet.protocol and any(
            first <= packet.dport <= last for first, last in listener.ranges
        ):
            return listener
    return None


def _content(session: Session, packet: Packet, port: int) -> Content:
    if session.listener.validation != "ike" or packet.protocol != UDP or packet.fragment == "later":
        return OTHER
    return classify(packet.payload, port)
