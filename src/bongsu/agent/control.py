"""The control socket: one JSON line asked, one JSON line answered, root only.

A request is `{"request": NAME, ...}`; the answer is `{"ok": true, "result": ...}` or `{"ok": false,
"error": {"kind": ..., "message": ...}}`. A malformed request costs its sender an answer and nothing
else. What a request does is the caller's table of handlers.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

REQUEST_LIMIT = 64 * 1024
"""Bytes of a request; they hold names and paths, never bundles."""
IDLE_S = 60.0
"""A client that says nothing for so long is hung up on."""
CONNECTIONS = 32

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


class RequestError(Exception):
    """The request's fault: what the client is told."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class ControlServer:
    """Serves one table of handlers on one unix socket."""

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], failed: Callable[[str, Exception], None]
    ) -> None:
        """`failed` hears of every request that a handler broke down over, and why."""
        self._path = path
        self._failed = failed
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> None:
        """Listen. The caller holds the state directory's lock, so an old socket file is nobody's."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(
            self._client, sock=listener, limit=REQUEST_LIMIT
        )

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS or not _is_root(writer):
                return
            while line := await self._line(reader, writer):
                await self._answer(writer, await self._handle(line))
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            async with asyncio.timeout(IDLE_S):
                return await reader.readline()
        except ValueError:
            message = f"a request has at most {REQUEST_LIMIT} bytes"
            await self._answer(writer, _error("too-long", message))
            return b""

    async def _handle(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error("malformed", "a request is one line of JSON")
        if not isinstance(request, dict) or not isinstance(request.get("request"), str):
            return _error("malformed", 'a request is an object with "request"')
        handler = self._handlers.get(request["request"])
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return _error("unknown-request", f"no such request; there are {known}")
        try:
            return {"ok": True, "result": await handler(request)}
        except RequestError as error:
            return _error(error.kind, str(error))
        except Exception as error:
            # A defect of ours costs one answer: the others of this agent still have to be given.
            self._failed(request["request"], error)
            return _error("internal", f"{request['request']}: {type(error).__name__}: {error}")

    async def _answer(self, writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
        writer.write(json.dumps(answer, default=str).encode() + b"\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await writer.drain()


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"kind": kind, "message": message}}


def _is_root(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return bool(struct.unpack("3i", credentials)[1] == 0)
