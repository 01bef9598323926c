"""One question to an endpoint, as an accelerator's egress asks it: IKE, TCP, or an echo.

Sent from the off address where this machine has it, for gateways let nobody else in; else from
whatever address leads there. Each has a socket of its own: its port is no session's but by a chance of
one in thousands, and the next one has another. Says why there was no answer, or nothing.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bongsu.model.base import Address
from bongsu.protocol.checksum import checksum
from bongsu.protocol.health.ike import SPI_BYTES, Version, is_answer, request

SILENT = "no answer"
_ECHO = {4: (8, 0), 6: (128, 129)}
"""Types of request and reply."""
_HEAD = struct.Struct("!BBHHH")
_TOKEN_BYTES = 16
_LARGEST = 4096


async def ask_ike(
    version: Version, source: Address, target: Address, port: int, wait_s: float
) -> str:
    """A request that starts nothing (bongsu.protocol.health.ike). ICMP's refusal is told."""
    spi = os.urandom(SPI_BYTES)
    with _opened(target, socket.SOCK_DGRAM, 0, source) as asked:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_s):
                await loop.sock_connect(asked, (str(target), port))
                await loop.sock_sendall(asked, request(version, spi, os.urandom(32), port))
                while not is_answer(await loop.sock_recv(asked, _LARGEST), spi, port):
                    pass
        except (TimeoutError, OSError) as error:
            return _why(error)
    return ""


async def ask_tcp(source: Address, target: Address, port: int, wait_s: float) -> str:
    """A handshake, closed again at once."""
    with _opened(target, socket.SOCK_STREAM, 0, source) as asked:
        try:
            async with asyncio.timeout(wait_s):
                await asyncio.get_running_loop().sock_connect(asked, (str(target), port))
        except (TimeoutError, OSError) as error:
            return _why(error)
    return ""


async def ask_echo(source: Address, target: Address, wait_s: float) -> str:
    """An ICMP echo (RFC 792, RFC 4443)."""
    four = target.version == 4
    protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    token, identifier = os.urandom(_TOKEN_BYTES), int.from_bytes(os.urandom(2), "big")
    wanted = (_ECHO[target.version][1], 0, identifier, 1)
    with _opened(target, socket.SOCK_RAW, protocol, source) as asked:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_s):
                # Connected, a raw socket is given what comes from there and nothing else.
                asked.connect((str(target), 0))
                await loop.sock_sendall(asked, _echo(target.version, identifier, token))
                while _reply(await loop.sock_recv(asked, _LARGEST), four, token) != wanted:
                    pass
        except (TimeoutError, OSError) as error:
            return _why(error)
    return ""


def _echo(version: int, identifier: int, token: bytes) -> bytes:
    kind = _ECHO[version][0]
    head = _HEAD.pack(kind, 0, 0, identifier, 1)
    # The kernel fills in ICMPv6's, which covers addresses that it chooses.
    total = checksum(head + token) if version == 4 else 0
    return _HEAD.pack(kind, 0, total, identifier, 1) + token


def _reply(packet: bytes, four: bool, token: bytes) -> tuple[int, int, int, int] | None:
    if four:
        packet = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
    if len(packet) < _HEAD.size or packet[_HEAD.size :] != token:
        return None
    kind, code, _, identifier, sequence = _HEAD.unpack_from(packet)
    return kind, code, identifier, sequence


@contextmanager
def _opened(target: Address, kind: int, protocol: int, source: Address) -> Iterator[socket.socket]:
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    with socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol) as made:
        if source.version == target.version:
            try:
                made.bind((str(source), 0))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
        yield made


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError) or not isinstance(error, OSError):
        return SILENT
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]
