"""charon's control protocol, VICI: messages, and a connection that asks and one that listens.

No more than bongsu asks for; configuration is loaded by swanctl(8), which knows its own file format.
Never prints what it carries: a message may hold keys.

strongSwan, src/libcharon/plugins/vici/README.md.
"""

import socket
import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

MESSAGE_BYTES = 512 * 1024
"""charon's own bound of a message."""
_LENGTH = struct.Struct("!I")

Message = dict[str, Any]
"""Names to texts, lists of texts, and messages again."""


class ViciError(Exception):
    """charon refused, or said what is no VICI."""


class _Packet(IntEnum):
    REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, NO_EVENT, EVENT = range(8)


class _Element(IntEnum):
    SECTION_START = 1
    SECTION_END, KEY_VALUE, LIST_START, LIST_ITEM, LIST_END = range(2, 7)


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the wire. ValueError for what is too long."""
    packed = bytearray()
    for name, value in message.items():
        if isinstance(value, Mapping):
            packed += bytes([_Element.SECTION_START]) + _short(name)
            packed += encode(value) + bytes([_Element.SECTION_END])
        elif isinstance(value, str):
            packed += bytes([_Element.KEY_VALUE]) + _short(name) + _long(value)
        else:
            packed += bytes([_Element.LIST_START]) + _short(name)
            for item in value:
                packed += bytes([_Element.LIST_ITEM]) + _long(item)
            packed.append(_Element.LIST_END)
    return bytes(packed)


def decode(data: bytes) -> Message:
    """The message in `data`. ViciError for what is cut off or out of place."""
    try:
        return _decode(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ViciError("charon's answer is no VICI message") from error


def _decode(data: bytes) -> Message:
    top: Message = {}
    stack = [top]
    items: list[str] | None = None
    at = 0
    while at < len(data):
        element = _Element(data[at])
        at += 1
        if element is _Element.SECTION_START:
            name, at = _read_short(data, at)
            section: Message = {}
            stack[-1][name] = section
            stack.append(section)
        elif element is _Element.SECTION_END:
            stack.pop()
            if not stack:
                raise ValueError("a section ends that never began")
        elif element is _Element.KEY_VALUE:
            name, at = _read_short(data, at)
            stack[-1][name], at = _read_long(data, at)
        elif element is _Element.LIST_START:
            name, at = _read_short(data, at)
            stack[-1][name] = items = []
        elif element is _Element.LIST_ITEM:
            item, at = _read_long(data, at)
            if items is None:
                raise ValueError("an item without a list")
            items.append(item)
        else:
            items = None
    if len(stack) != 1:
        raise ValueError("a section does not end")
    return top


class Vici:
    """A connection to one charon. For one thread at a time."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        """Raises OSError if nobody listens there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        self._waiting = bytearray()
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when events wait for `events`."""
        return self._socket.fileno()

    def ask(self, command: str, message: Mapping[str, Any] | None = None) -> Message:
        """One request's answer. Raises OSError, ViciError; `success` "no" is an error, too."""
        self._send(_Packet.REQUEST, command, encode(message or {}))
        return self._answer(command)

    def stream(
        self, command: str, event: str, message: Mapping[str, Any] | None = None
    ) -> list[Message]:
        """A request that answers by events, such as `list-sas`. Raises OSError, ViciError."""
        self.listen([event])
        self._send(_Packet.REQUEST, command, encode(message or {}))
        found: list[Message] = []
        while True:
            kind, name, body = self._packet()
            if kind is _Packet.EVENT and name == event:
                found.append(decode(body))
            elif kind is _Packet.RESPONSE:
                break
            elif kind is _Packet.UNKNOWN:
                raise ViciError(f"charon does not know {command}")
        self._send(_Packet.UNREGISTER, event)
        while self._packet()[0] is not _Packet.CONFIRM:
            pass
        return found

    def listen(self, events: Iterable[str]) -> None:
        """Hear of these events from now on. Raises OSError, ViciError."""
        for event in events:
            self._send(_Packet.REGISTER, event)
            while (kind := self._packet()[0]) is not _Packet.CONFIRM:
                if kind is _Packet.NO_EVENT:
                    raise ViciError(f"charon has no event {event}")

    def events(self) -> list[tuple[str, Message]]:
        """What has come since, without waiting. OSError once charon has hung up."""
        self._socket.setblocking(False)
        try:
            while True:
                data = self._socket.recv(65536)
                if not data:
                    raise ConnectionResetError("charon has hung up")
                self._waiting += data
        except BlockingIOError:
            pass
        found = []
        while (packet := self._cut()) is not None:
            if packet[0] is _Packet.EVENT:
                found.append((packet[1], decode(packet[2])))
        return found

    def _answer(self, command: str) -> Message:
        while True:
            kind, _, body = self._packet()
            if kind is _Packet.RESPONSE:
                answer = decode(body)
                if answer.get("success") == "no":
                    raise ViciError(f"{command}: {answer.get('errmsg', 'refused')}")
                return answer
            if kind is _Packet.UNKNOWN:
                raise ViciError(f"charon does not know {command}")

    def _send(self, kind: _Packet, name: str, body: bytes = b"") -> None:
        packet = bytes([kind]) + _short(name) + body
        self._socket.sendall(_LENGTH.pack(len(packet)) + packet)

    def _packet(self) -> tuple[_Packet, str, bytes]:
        while (packet := self._cut()) is None:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("charon has hung up")
            self._waiting += data
        return packet

    def _cut(self) -> tuple[_Packet, str, bytes] | None:
        """The first packet that has come whole."""
        if len(self._waiting) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._waiting)
        if not 0 < length <= MESSAGE_BYTES:
            raise ViciError(f"charon sends a packet of {length} bytes")
        end = _LENGTH.size + length
        if len(self._waiting) < end:
            return None
        packet = bytes(self._waiting[_LENGTH.size : end])
        del self._waiting[:end]
        try:
            kind = _Packet(packet[0])
            name, at = _read_short(packet, 1) if kind is _Packet.EVENT else ("", 1)
        except (ValueError, IndexError) as error:
            raise ViciError("charon's answer is no VICI packet") from error
        return kind, name, packet[at:]


def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > 0xFF:
        raise ValueError("a name has at most 255 bytes")
    return bytes([len(data)]) + data


def _long(text: str) -> bytes:
    data = text.encode()
    if len(data) > 0xFFFF:
        raise ValueError("a value has at most 65535 bytes")
    return struct.pack("!H", len(data)) + data


def _read_short(data: bytes, at: int) -> tuple[str, int]:
    return _text(data, at + 1, data[at])


def _read_long(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("!H", data, at)
    return _text(data, at + 2, length)


def _text(data: bytes, at: int, length: int) -> tuple[str, int]:
    if at + length > len(data):
        raise ValueError("cut off")
    return data[at : at + length].decode(errors="replace"), at + length
