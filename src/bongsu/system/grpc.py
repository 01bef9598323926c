"""gRPC over connections of our own making, with messages as bytes and a bound on each.

grpclib and not grpcio, whose Python has no way to ask for TLS 1.3 or to use a socket that was made
elsewhere (docs/decisions). grpclib in turn reads a message of any length that its sender announces:
so messages are read here, and a longer one is refused before it is read.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from grpclib import GRPCError
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from h2.exceptions import H2Error

from bongsu.system.management import Place, connect
from bongsu.system.netns import NetnsError
from bongsu.system.pki import TOWER_NAME

HANDSHAKE_S = 10.0
"""A peer that has not finished TLS by then is hung up on."""

CALL_ERRORS = (
    GRPCError, StreamTerminatedError, ProtocolError, H2Error, ssl.SSLError, OSError, TimeoutError,
    NetnsError, AssertionError,
)  # fmt: skip
"""Whatever can go wrong on the way between two ends; the last is the library's word for half a message."""

Served = Callable[[Stream[bytes, bytes]], Awaitable[None]]


class Raw(CodecBase):
    """Bytes in, bytes out; whose bytes they are, the caller knows."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002
        """As they are."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002
        """As they are."""
        return data


class TooLongError(Exception):
    """A peer announced a message that is longer than it may be."""


async def receive(stream: Any, limit: int) -> bytes | None:
    """The next message of a client's or a server's stream; None at its end. Raises TooLongError.

    A client's ends with StreamTerminatedError when its connection is lost; a server's is cancelled.
    """
    raw = stream._stream
    with getattr(stream, "_wrapper", None) or contextlib.nullcontext():
        prefix = await raw.recv_data(5)
        if not prefix:
            return None
        compressed, length = struct.unpack(">BI", prefix)
        if compressed:
            raise TooLongError("a compressed message: how long it is cannot be told")
        if length > limit:
            raise TooLongError(f"a message of {length} bytes, {limit} are the most")
        return bytes(await raw.recv_data(length))


def words(error: BaseException) -> str:
    """One of CALL_ERRORS as an operator reads it."""
    if isinstance(error, GRPCError):
        return error.message or error.status.name.lower().replace("_", " ")
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}".lower()
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return str(error).lower() or type(error).__name__


class Line(Channel):
    """One connection to the tower. When it is gone, so is the line: nothing connects it again."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, place: Place, window: int
    ) -> None:
        config = Configuration(http2_connection_window_size=window, http2_stream_window_size=window)
        super().__init__(host, port, codec=Raw(), ssl=context, config=config)
        self._target = (host, port, place)
        self._context = context
        self._used = False

    async def __aenter__(self) -> Self:
        return self

    async def _create_connection(self) -> H2Protocol:
        if self._used:
            raise ConnectionResetError("the connection is gone")
        self._used = True
        connected = await asyncio.to_thread(connect, *self._target)
        try:
            # The name is the tower's own, wherever it is: a stranger's look verifies none.
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._protocol_factory, sock=connected, ssl=self._context,
                server_hostname=TOWER_NAME, ssl_handshake_timeout=HANDSHAKE_S,
            )  # fmt: skip
        except BaseException:
            connected.close()
            raise
        return protocol

    async def call(self, method: str, message: bytes, limit: int, timeout_s: float) -> bytes:
        """One question, one answer. Raises one of CALL_ERRORS, or TooLongError."""
        async with (
            asyncio.timeout(timeout_s),
            self.request(method, Cardinality.UNARY_UNARY, bytes, bytes) as stream,
        ):
            await stream.send_message(message, end=True)
            await stream.recv_initial_metadata()
            answer = await receive(stream, limit)
            await stream.recv_trailing_metadata()
        if answer is None:
            raise GRPCError(Status.INTERNAL, "no answer")
        return answer


class Methods:
    """A table of methods, as a server wants it."""

    def __init__(self, methods: Mapping[str, tuple[Cardinality, Served]]) -> None:
        self._methods = methods

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: Handler(func, cardinality, bytes, bytes)
            for path, (cardinality, func) in self._methods.items()
        }


class Listener(Server):
    """A server on one port, with a bound on connections and on the time that a handshake may take."""

    def __init__(
        self, methods: Methods, connections: int, window: int, lifetime_s: float | None = None
    ) -> None:
        """`lifetime_s`: a connection is cut after so long, whatever it is doing."""
        config = Configuration(
            _keepalive_time=30.0,
            _keepalive_timeout=20.0,
            _http2_min_sent_ping_interval_without_data=30.0,
            http2_connection_window_size=window,
            http2_stream_window_size=window,
        )
        super().__init__([methods], codec=Raw(), config=config)
        self._most = connections
        self._lifetime_s = lifetime_s
        self._open: set[_Bounded] = set()

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        return _Bounded(made, self._open, self._most, self._lifetime_s)

    async def listen(self, host: str | None, port: int, context: ssl.SSLContext) -> int:
        """Serve; the port, which is another if it was 0."""
        loop = asyncio.get_running_loop()
        made = await loop.create_server(
            self._protocol_factory, host, port, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
        )
        self._server = made
        self._server_closed_fut = loop.create_future()
        return int(made.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Listen no more, and close every connection now."""
        if self._server is not None:
            self.close()
        for each in list(self._open):
            each.cut()


class _Bounded(H2Protocol):
    """A connection that is counted, and refused when there are too many."""

    def __init__(
        self, made: H2Protocol, table: "set[_Bounded]", most: int, lifetime_s: float | None
    ) -> None:
        super().__init__(made.handler, made.config, made.h2_config)
        self._table = table
        self._most = most
        self._lifetime_s = lifetime_s
        self._transport: Any = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._transport = transport
        if len(self._table) >= self._most:
            transport.abort()
            return
        self._table.add(self)
        if self._lifetime_s is not None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(self._lifetime_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception:
            # A peer that finds a defect of the library's costs its own connection and nothing else.
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._table.discard(self)
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close it now, without a word."""
        if self._transport is not None:
            self._transport.abort()
