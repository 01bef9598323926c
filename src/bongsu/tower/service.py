"""What the tower answers: the nodes' stream and renewals, and newcomers on a port of their own."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpclib import GRPCError
from grpclib.const import Cardinality, Status
from grpclib.server import Stream

from bongsu.system import grpc, pki
from bongsu.system.clock import Clock
from bongsu.tower.authority import Authority
from bongsu.tower.ingest import Ingest, RefusedError
from bongsu.tower.limit import Limit
from bongsu.tower.store.base import Delivery, Store, StoreError
from bongsu.wire import bounds, codec
from bongsu.wire.messages import Batch, Event, Hello, Welcome, WireError
from bongsu.wire.receiver import Receiver, Taken

STREAM = "/bongsu.wire.v1.Uplink/Stream"
RENEW = "/bongsu.wire.v1.Uplink/Renew"
INTRODUCE = "/bongsu.wire.v1.Enrolment/Introduce"
ENROL = "/bongsu.wire.v1.Enrolment/Enrol"
HELLO_S = 15.0
"""A node that has connected says Hello by then."""
ATTEMPTS, ATTEMPT_EVERY_S, ALL_SOURCES = 10, 6.0, 20
"""Of a source: ten at once, then one every six seconds; of all sources twenty times that."""
WRONG_TOLD_EVERY_S = 10.0
"""A stranger must not be able to fill the disk with our own events."""
WRONG = "the token is wrong, used or too old"
"""Which of the three, a stranger need not know."""


@dataclass(eq=False)
class Session:
    """A node's stream that is under way."""

    node: str
    serial: str
    cut: Callable[[], None]
    records: int = 0


class NodeService:
    """Known nodes. `sessions` is who is connected now, by name."""

    def __init__(
        self, store: Store, authority: Authority, ingest: Ingest, clock: Clock,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._authority = authority
        self._ingest = ingest
        self._clock = clock
        self._tell = tell
        self.sessions: dict[str, Session] = {}

    def methods(self) -> grpc.Methods:
        """For a listener."""
        return grpc.Methods(
            {
                STREAM: (Cardinality.STREAM_STREAM, _judged(self.stream)),
                RENEW: (Cardinality.UNARY_UNARY, _judged(self.renew)),
            }
        )

    async def patrol(self) -> None:
        """Cut the streams whose certificates have ended or been revoked since they began."""
        for session in list(self.sessions.values()):
            now = self._clock.utc()
            if not await asyncio.to_thread(self._store.may, session.node, session.serial, now):
                session.cut()

    async def renew(self, stream: Stream[bytes, bytes]) -> None:
        """A new certificate for the old one's node."""
        node, _ = await self._who(stream)
        request = codec.decode_renew(await _message(stream, bounds.ENROLMENT_BYTES))
        now = self._clock.utc()
        made = await asyncio.to_thread(self._authority.renew, node, request, now)
        await stream.send_message(codec.encode_certificate(made))
        self._tell(_event("info", "certificate", node, "renewed"))

    async def stream(self, stream: Stream[bytes, bytes]) -> None:
        """Hello, Welcome, batches and acks until one side has enough."""
        node, serial = await self._who(stream)
        async with asyncio.timeout(HELLO_S):
            hello = codec.decode_from_node(await _message(stream, bounds.MESSAGE_BYTES))
        if not isinstance(hello, Hello):
            raise WireError("the first word is Hello")
        session = Session(node, serial, stream.peer._transport.abort)
        before = self.sessions.get(node)
        self.sessions[node] = session
        if before is not None:
            # The node has connected anew before its old connection was known to be dead.
            before.cut()
        try:
            await asyncio.to_thread(self._store.seen, node, hello.software, self._clock.utc())
            kept = await asyncio.to_thread(self._store.kept, node, hello.spool)
            version = min(hello.version, bounds.VERSION)
            welcome = Welcome(kept, bounds.WINDOW_RECORDS, bounds.WINDOW_BYTES, version)
            await stream.send_message(codec.encode_from_tower(welcome))
            self._tell(_event("info", "connected", node, "", kept=kept, last=hello.last))
            await self._stream(stream, session, hello.spool, Receiver(kept))
        finally:
            if self.sessions.get(node) is session:
                del self.sessions[node]
            self._tell(_event("info", "disconnected", node, "", records=session.records))

    async def _stream(
        self, stream: Stream[bytes, bytes], session: Session, spool: bytes, receiver: Receiver
    ) -> None:
        """Batches go to the disk while further ones come; acks follow in the batches' order."""
        waiting: deque[tuple[Taken, asyncio.Future[None]]] = deque()
        more = asyncio.Event()
        acks = asyncio.create_task(self._acks(stream, receiver, waiting, more))
        come: asyncio.Task[bytes | None] | None = None
        try:
            while not acks.done():
                come = asyncio.create_task(grpc.receive(stream, bounds.MESSAGE_BYTES))
                await asyncio.wait({come, acks}, return_when=asyncio.FIRST_COMPLETED)
                if acks.done():
                    break
                if (data := come.result()) is None:
                    break
                batch = codec.decode_from_node(data)
                if not isinstance(batch, Batch):
                    raise WireError("Hello is said once")
                after = receiver.received
                if (taken := receiver.batch(batch)).records:
                    delivery = Delivery(
                        session.node, session.serial, spool, after, taken.records, taken.missing
                    )
                    session.records += len(taken.records)
                    waiting.append((taken, self._ingest.put(delivery)))
                    more.set()
        finally:
            for _, done in waiting:
                # Nobody waits for them any more; the node asks what has been kept when it is back.
                done.cancel()
            if come is not None:
                come.cancel()
            acks.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await acks

    async def _acks(
        self,
        stream: Stream[bytes, bytes],
        receiver: Receiver,
        waiting: deque[tuple[Taken, "asyncio.Future[None]"]],
        more: asyncio.Event,
    ) -> None:
        while True:
            await more.wait()
            more.clear()
            while waiting:
                taken, done = waiting[0]
                await asyncio.shield(done)
                waiting.popleft()
                ack = receiver.durable(taken)
                while waiting and waiting[0][1].done() and not waiting[0][1].exception():
                    ack = receiver.durable(waiting.popleft()[0])
                await stream.send_message(codec.encode_from_tower(ack))

    async def _who(self, stream: Stream[bytes, bytes]) -> tuple[str, str]:
        """The node and its certificate's number: TLS has judged the signature, the store the rest."""
        shown = stream.peer._transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        certificate = pki.parse(shown or b"")
        node, serial = pki.node_of(certificate), pki.serial(certificate)
        if not await asyncio.to_thread(self._store.may, node, serial, self._clock.utc()):
            raise GRPCError(Status.UNAUTHENTICATED, "the certificate has ended or been revoked")
        return node, serial


class EnrolmentService:
    """Newcomers: nobody is known here, and nobody may try often."""

    def __init__(self, authority: Authority, clock: Clock, tell: Callable[[Event], None]) -> None:
        self._authority = authority
        self._clock = clock
        self._tell = tell
        self._limit = Limit(ATTEMPTS, ATTEMPT_EVERY_S, ALL_SOURCES)
        self._wrong = 0
        self._tell_at = clock.now()

    def methods(self) -> grpc.Methods:
        """For a listener."""
        return grpc.Methods(
            {
                INTRODUCE: (Cardinality.UNARY_UNARY, _judged(self.introduce)),
                ENROL: (Cardinality.UNARY_UNARY, _judged(self.enrol)),
            }
        )

    async def introduce(self, stream: Stream[bytes, bytes]) -> None:
        """The authority's certificate."""
        self._admit(stream)
        await _message(stream, bounds.ENROLMENT_BYTES)
        await stream.send_message(codec.encode_introduction(self._authority.certificate))

    async def enrol(self, stream: Stream[bytes, bytes]) -> None:
        """A certificate for a token."""
        source = self._admit(stream)
        async with asyncio.timeout(HELLO_S):
            said = codec.decode_enrol(await _message(stream, bounds.ENROLMENT_BYTES))
        now = self._clock.utc()
        made = await asyncio.to_thread(self._authority.enrol, said.token, said.request, now)
        if made is None:
            self._wrong += 1
            if self._clock.now() >= self._tell_at:
                self._tell_at = self._clock.now() + WRONG_TOLD_EVERY_S
                self._tell(
                    _event("warning", "enrolment", "", WRONG, source=source, so_far=self._wrong)
                )
            raise GRPCError(Status.PERMISSION_DENIED, WRONG)
        node, certificate = made
        await stream.send_message(codec.encode_certificate(certificate))
        self._tell(_event("info", "enrolment", node, "a certificate was made", source=source))

    def _admit(self, stream: Stream[bytes, bytes]) -> str:
        address = stream.peer.addr()
        source = str(address[0]) if address else ""
        if not self._limit.takes(source, self._clock.now()):
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many attempts: try again in a minute")
        return source


def _judged(func: grpc.Served) -> grpc.Served:
    """Errors in the words of gRPC: what the peer did wrong it is told, what we did it is not."""

    async def served(stream: Stream[bytes, bytes]) -> None:
        try:
            await func(stream)
        except (WireError, grpc.TooLongError, pki.PkiError) as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        except RefusedError as error:
            raise GRPCError(Status.ABORTED, str(error)) from error
        except (StoreError, TimeoutError) as error:
            raise GRPCError(Status.UNAVAILABLE, "the tower cannot keep anything now") from error

    return served


async def _message(stream: Stream[bytes, bytes], limit: int) -> bytes:
    if (data := await grpc.receive(stream, limit)) is None:
        raise WireError("nothing was said")
    return data


def _event(level: Any, kind: str, subject: str, cause: str, **details: Any) -> Event:
    return Event(level, kind, subject, cause, 0, 0, details)
