"""rtnetlink in batches: many requests in one system call, each answer matched to its request.

A general library takes some 3 ms of processor time for a request, and a tunnel takes a few dozen:
thousands of tunnels would be minutes. Here a request costs what the kernel takes. It knows messages
and attributes, and nothing of what they mean; it works in the network namespace it was opened in.

Never asks the kernel for a whole table where it can ask for one entry: the answer to that would grow
with the number of tunnels, and its making with the square.

RFC 3549; Linux Documentation/userspace-api/netlink/intro.rst.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

REQUEST, ACK, DUMP, EXCL, CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
"""NLM_F_*."""
NESTED = 0x8000
"""NLA_F_NESTED, wanted by the kernel in some attributes and understood in all."""

BATCH = 64
"""Requests of one system call: their answers fit into the socket's buffer with room."""
BUFFER_BYTES = 1 << 20
_ERROR, _DONE = 2, 3
_HEAD = struct.Struct("=IHHII")
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_ACK_TLVS = 0x200
_MSG, _TYPE_MASK = 1, 0x3FFF


class RtnlError(OSError):
    """The kernel refused a request; the text is its own explanation where it gives one."""

    def __init__(self, code: int, said: str = "") -> None:
        super().__init__(code, f"{os.strerror(code)}: {said}" if said else os.strerror(code))


@dataclass(frozen=True)
class Request:
    """One message: its type (RTM_*), flags besides REQUEST, and fixed header with attributes."""

    kind: int
    body: bytes
    flags: int = ACK
    allow: tuple[int, ...] = ()
    """Errors that are an answer: the request has then no messages."""


@dataclass
class _Waiting:
    request: Request
    messages: list[bytes] = field(default_factory=list)
    done: bool = False


class Rtnl:
    """A netlink socket of the calling thread's network namespace. For one thread at a time.

    Of rtnetlink, unless another `family` (NETLINK_*) of the kernel's is asked for.
    """

    def __init__(self, family: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the socket go."""
        self._socket.close()

    def ask(self, *requests: Request) -> list[list[bytes]]:
        """The messages that answer each request, headers cut off, in order.

        All are carried out, in order, whatever becomes of those before.
        Errors: RtnlError of the first that was refused.
        """
        found: list[list[bytes]] = []
        refused: list[RtnlError] = []
        for start in range(0, len(requests), BATCH):
            found += self._batch(requests[start : start + BATCH], refused)
        if refused:
            raise refused[0]
        return found

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """A table of the kernel's, or what a filter in `body` leaves of it. Errors: RtnlError."""
        return self.ask(Request(kind, body, DUMP))[0]

    def _batch(self, requests: Sequence[Request], refused: list[RtnlError]) -> list[list[bytes]]:
        waiting: dict[int, _Waiting] = {}
        packed = bytearray()
        for request in requests:
            self._sequence = self._sequence + 1 & 0xFFFFFFFF
            waiting[self._sequence] = _Waiting(request)
            flags = request.flags | REQUEST
            size = _HEAD.size + len(request.body)
            packed += _HEAD.pack(size, request.kind, flags, self._sequence, 0)
            packed += request.body + bytes(-size % 4)
        self._socket.send(packed)
        while not all(each.done for each in waiting.values()):
            for kind, flags, sequence, body in _messages(self._socket.recv(BUFFER_BYTES)):
                # of a batch that was broken off, by a signal's exception for one
                if (each := waiting.get(sequence)) is None:
                    continue
                if kind in (_ERROR, _DONE):
                    each.done = True
                    code = -struct.unpack_from("=i", body)[0] if body else 0
                    if code and code not in each.request.allow:
                        refused.append(RtnlError(code, _explanation(kind, flags, body)))
                else:
                    each.messages.append(body)
        return [each.messages for each in waiting.values()]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute (struct nlattr), padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nest(kind: int, *inside: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(inside))


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits in the machine's order."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by type; of equal ones the last. What is cut off or malformed ends the list."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4 or at + size > len(data):
            break
        found[kind & _TYPE_MASK] = data[at + 4 : at + size]
        at += size + (-size % 4)
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(data):
        size, kind, flags, sequence, _ = _HEAD.unpack_from(data, at)
        if size < _HEAD.size or at + size > len(data):
            raise RtnlError(errno.EBADMSG)
        yield kind, flags, sequence, data[at + _HEAD.size : at + size]
        at += size + (-size % 4)


def _explanation(kind: int, flags: int, body: bytes) -> str:
    if kind != _ERROR or not flags & _ACK_TLVS:
        return ""
    # error code and the refused message's header; CAP_ACK leaves its body out
    said = attributes(body[4 + _HEAD.size :]).get(_MSG, b"")
    return said.rstrip(b"\0").decode(errors="replace")
