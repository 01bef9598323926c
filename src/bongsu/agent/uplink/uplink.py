"""The stream to the tower: a thread with a loop of its own around the pure machine.

Connects, greets, sends what the spool holds, forgets what is acked, has its certificate renewed, and
begins again when the connection is lost. Nothing that happens here reaches the rest of the agent but
events: `tell` is called when the tower comes, goes, or something is amiss.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from grpclib.const import Cardinality
from grpclib.exceptions import StreamTerminatedError

from bongsu.agent.uplink.enrol import renew, root_of, valid
from bongsu.agent.uplink.home import Home, Settings, UplinkError
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.spool import Dropped, Kind, Spool, SpoolError
from bongsu.system import grpc, pki, tls
from bongsu.system.clock import Clock
from bongsu.wire import bounds, codec
from bongsu.wire.messages import Ack, Batch, Hello, Level, Welcome, WireError
from bongsu.wire.sender import Sender, State

STREAM = "/bongsu.wire.v1.Uplink/Stream"
TAKE_RECORDS = 1000
"""From the queue into the spool at once: one commit."""
STOP_S = 5.0
"""How long the end of the agent waits for what is in the queue to reach the disk."""
RENEW_AGAIN_S = 60.0
"""After a renewal that failed."""
DISK_AGAIN_S = 5.0
"""After the disk refused a record."""
STUCK_S = 1.0
"""How often a message that finds no room is looked at."""
LOOK_S = 60.0
"""How often a quiet connection looks whether the certificate is to be renewed."""

ERRORS = (*grpc.CALL_ERRORS, grpc.TooLongError, pki.PkiError, WireError, UplinkError)
"""What ends a connection, and is told."""

Tell = Callable[[Level, str, str, dict[str, Any]], None]
"""Level, subject, cause, details."""


class Uplink:
    """One node's uplink. `tell` is called from this thread."""

    def __init__(self, home: Home, recorder: Recorder, tell: Tell, clock: Clock) -> None:
        """Raises UplinkError if this node has not been enrolled."""
        self._home = home
        self.settings: Settings = home.read()
        self._recorder = recorder
        self._tell = tell
        self._clock = clock
        self._thread = threading.Thread(target=self._main, name="uplink", daemon=True)
        self._machine = Sender(clock.now(), random.random)
        self._failing: dict[str, str] = {}
        self._dropped = Dropped()
        self._spool: Spool | None = None
        self._renew_at = clock.now()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh = asyncio.Event()
        """Something is in the queue, or the end has come."""
        self._more = asyncio.Event()
        """Something is in the spool, or was heard from the tower."""
        self._stopping = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Bring what is in the queue to the disk, and end. Blocks for STOP_S at most."""
        self._stopping = True
        self._poke()
        self._thread.join(STOP_S)

    def status(self) -> dict[str, Any]:
        """For `bongsu agent status`."""
        machine, dropped = self._machine, self._dropped
        return {
            "tower": f"{self.settings.host} port {self.settings.port}",
            "state": machine.state.value,
            "acked": machine.acked,
            "on_the_way": machine.sent - machine.acked,
            "reconnects": machine.reconnects,
            "dropped": {**asdict(dropped), "before_the_disk": self._recorder.dropped},
            "failing": dict(self._failing),
        }

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            # A defect of ours ends the uplink and not the node.
            self._tell("error", "", f"ended: {type(error).__name__}: {error}", {})

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._recorder.wake = self._poke
        link: asyncio.Task[None] | None = None
        retry: float | None = None
        try:
            while not self._stopping:
                retry = None if self._drain() else self._clock.now() + DISK_AGAIN_S
                if link is None and self._spool is not None:
                    link = asyncio.create_task(self._link(self._spool))
                    link.add_done_callback(lambda _: self._fresh.set())
                if link is not None and link.done():
                    link.result()
                self._more.set()
                await self._clock.wait(self._fresh, retry)
                self._fresh.clear()
        finally:
            self._recorder.wake = lambda: None
            if link is not None:
                link.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await link
            self._drain()
            if self._spool is not None:
                self._spool.close()

    def _poke(self) -> None:
        # The loop may have ended in the meantime.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._fresh.set)

    def _drain(self) -> bool:
        """The queue goes to the disk. False if the disk did not take it."""
        records: list[tuple[Kind, bytes]] = []
        try:
            if self._spool is None:
                self._spool = Spool(self._home.spool, self.settings.spool_bytes)
                if self._spool.renamed:
                    self._amiss("spool", f"not to be read, kept as {self._spool.renamed}")
            while records := self._recorder.take(TAKE_RECORDS):
                self._spool.append(records, self._machine.sent)
            dropped = self._spool.dropped()
        except SpoolError as error:
            self._recorder.put_back(records)
            self._amiss("disk", str(error))
            return False
        self._well("disk")
        if dropped.total > self._dropped.total:
            self._amiss("spool", "full: the oldest records go", **asdict(dropped))
        self._dropped = dropped
        return True

    async def _link(self, spool: Spool) -> None:
        """Connections, one after the other, for ever."""
        machine = self._machine
        while True:
            while not machine.wants_connection(self._clock.now()):
                self._more.clear()
                await self._clock.wait(self._more, machine.deadline())
            machine.begin(self._clock.now())
            on_purpose = False
            try:
                on_purpose = await self._connection(spool)
            except ERRORS as error:
                self._amiss("tower", _words(error))
            except SpoolError as error:
                self._amiss("disk", str(error))
            finally:
                machine.lost(self._clock.now(), soon=on_purpose)

    async def _connection(self, spool: Spool) -> bool:
        """One connection, until it is lost (ERRORS); True when it is to be made anew on purpose."""
        identity = pki.read_identity(self._home.identity)
        valid(identity, self._clock.utc())
        context = tls.node_context(root_of(identity), self._home.identity)
        host, port, place = self.settings.host, self.settings.port, self.settings.place
        async with (
            grpc.Line(host, port, context, place, bounds.MESSAGE_BYTES) as line,
            line.request(STREAM, Cardinality.STREAM_STREAM, bytes, bytes) as stream,
        ):
            await stream.send_request()
            hello = Hello(spool.name(), spool.last(), version("bongsu"), bounds.VERSION)
            heard = asyncio.create_task(self._hear(stream, spool, hello.last))
            # The end of a quiet connection is noticed at once, not at the next look.
            heard.add_done_callback(lambda _: self._more.set())
            try:
                await self._send(stream, hello, heard)
                while True:
                    self._more.clear()
                    if identity.due(self._clock.utc()) and await self._renewed(identity, line):
                        await stream.cancel()
                        return True
                    if not await self._batch(stream, spool, heard):
                        await self._clock.wait(self._more, self._due())
                    self._judge(heard)
            finally:
                heard.cancel()
                with contextlib.suppress(asyncio.CancelledError, *ERRORS, SpoolError):
                    await heard

    async def _batch(self, stream: Any, spool: Spool, heard: "asyncio.Task[None]") -> bool:
        """Send what there is and there is room for; whether there was anything."""
        room = self._machine.room()
        if room is None:
            return False
        page = spool.read(room.after, room.records, room.bytes)
        if not page.records:
            return False
        last = page.records[-1].sequence
        self._machine.batch(last, len(page.records), page.bytes, self._clock.now())
        await self._send(stream, Batch(room.after, page.records), heard)
        return True

    async def _hear(self, stream: Any, spool: Spool, last: int) -> None:
        """What the tower says, until it says no more."""
        await stream.recv_initial_metadata()
        while (data := await grpc.receive(stream, bounds.MESSAGE_BYTES)) is not None:
            said = codec.decode_from_tower(data)
            if isinstance(said, Welcome):
                self._welcome(said, spool, last)
            elif isinstance(said, Ack) and self._machine.ack(said):
                spool.acked(said.sequence)
            self._more.set()
        # Inside the call this becomes the status that the tower ended it with.
        raise StreamTerminatedError("the tower ended the stream")

    def _welcome(self, said: Welcome, spool: Spool, last: int) -> None:
        try:
            self._machine.welcome(said, last)
        except WireError:
            if said.acked > last:
                # It goes on under another name; what was told twice is better than what is lost.
                spool.rename()
            raise
        spool.acked(said.acked)
        self._well("tower")
        self._well("spool")
        self._tell("info", self.settings.host, "connected", {"acked": said.acked, "last": last})

    async def _send(self, stream: Any, message: Hello | Batch, heard: "asyncio.Task[None]") -> None:
        """Send, unless the connection turns out to be dead while there is no room to write."""
        data = codec.encode_from_node(message)
        sending = asyncio.create_task(stream.send_message(data))
        try:
            while not sending.done():
                await asyncio.wait(
                    {sending, heard}, timeout=STUCK_S, return_when=asyncio.FIRST_COMPLETED
                )
                self._judge(heard)
            sending.result()
        finally:
            sending.cancel()

    def _judge(self, heard: "asyncio.Task[None]") -> None:
        if heard.done():
            heard.result()
        if why := self._machine.overdue(self._clock.now()):
            raise TimeoutError(why)

    def _due(self) -> float:
        """When to look again even if nothing happens."""
        deadline = self._machine.deadline()
        look = self._clock.now() + LOOK_S
        return look if deadline is None else min(deadline, look)

    async def _renewed(self, identity: pki.Identity, line: grpc.Line) -> bool:
        if self._clock.now() < self._renew_at or self._machine.state is not State.STREAMING:
            return False
        self._renew_at = self._clock.now() + RENEW_AGAIN_S
        try:
            renewed = await renew(self._home, identity, line)
        except (WireError, pki.PkiError, grpc.TooLongError, *grpc.CALL_ERRORS) as error:
            self._amiss("certificate", f"not renewed: {_words(error)}")
            return False
        self._well("certificate")
        ends = renewed.certificate.not_valid_after_utc.isoformat()
        self._tell("info", "certificate", "renewed", {"ends": ends})
        return True

    def _amiss(self, what: str, why: str, **details: Any) -> None:
        """Told once, and again when the reason is another."""
        if self._failing.get(what) != why:
            self._failing[what] = why
            self._tell("warning", what, why, details)

    def _well(self, what: str) -> None:
        self._failing.pop(what, None)


def _words(error: BaseException) -> str:
    return grpc.words(error) if isinstance(error, grpc.CALL_ERRORS) else str(error)
