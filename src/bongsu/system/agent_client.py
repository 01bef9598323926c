"""Ask a node's agent over its control socket: one JSON line there, one JSON line back.

Small and synchronous, for the command line and the lab, which may not import the agent itself.
"""

import json
import socket
from pathlib import Path
from typing import Any

SOCKET_NAME = "agent.sock"
REPLY_LIMIT = 64 * 1024 * 1024


class AgentError(Exception):
    """The agent refused or failed; `kind` is its error type, `str()` is for the operator."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class AgentClient:
    """The agent behind one socket. Every call is a connection of its own."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def call(self, request: str, **arguments: Any) -> Any:
        """The result of `status`, `counters`, `events`, `keepalive_debug`, `apply` or `stop`.

        Raises AgentError; its kind is `unreachable` when nobody answers.
        """
        line = json.dumps({"request": request, **arguments}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self.timeout_s)
                connection.connect(str(self.path))
                connection.sendall(line)
                reply = _line(connection)
        except OSError as error:
            raise AgentError(
                "unreachable", f"no agent answers on {self.path}: {_why(error)}"
            ) from error
        try:
            answer = json.loads(reply)
            if answer["ok"]:
                return answer["result"]
            kind, message = str(answer["error"]["kind"]), str(answer["error"]["message"])
        except (ValueError, KeyError, TypeError) as error:
            raise AgentError("protocol", f"not an agent's answer: {reply[:80]!r}") from error
        raise AgentError(kind, message)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _line(connection: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError("the agent closed the connection")
        data += part
        if len(data) > REPLY_LIMIT:
            raise ConnectionError(f"an answer of more than {REPLY_LIMIT} bytes")
    return bytes(data)
