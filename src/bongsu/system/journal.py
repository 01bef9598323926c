"""An append-only file of blocks that survives the death of its writer.

Each block is written by one call and carries a checksum: a killed writer leaves at most one torn
block at the end, which the next one cuts off. What was written is the kernel's at once, so SIGKILL
loses none of it; a power cut may lose what the kernel had not put on the disk yet (`sync`). One
writer at a time. What blocks mean is not known here.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

MAGIC = b"bongsu1\n"
_HEADER = struct.Struct("<c3xII")
"""Kind, length, CRC-32 of kind and payload."""
BLOCK_MAX = 64 << 20
"""Bytes of a payload: far more than a second's worth, and a bound for what a strange file says."""

Block = tuple[bytes, bytes]


class JournalError(Exception):
    """The file is no journal, is being written by somebody else, or is there already."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Journal:
    """A journal open for writing."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def create(cls, path: Path) -> "Journal":
        """A new one (0600); missing directories are made. JournalError if the file is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise JournalError(f"{path} is there already") from error
        _lock(path, fd)
        _write(fd, MAGIC)
        return cls(path, fd)

    @classmethod
    def reopen(cls, path: Path) -> tuple["Journal", list[Block]]:
        """One to go on with, and what it holds; a torn end is cut off."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _lock(path, fd)
            blocks, good = _parse(path, path.read_bytes())
            os.ftruncate(fd, good)
            os.lseek(fd, good, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd), blocks

    def append(self, blocks: Iterable[Block]) -> None:
        """Add blocks, all by one write. OSError if they cannot be kept."""
        data = b"".join(_packed(kind, payload) for kind, payload in blocks)
        if data:
            _write(self._fd, data)

    def close(self) -> None:
        """Put it on the disk, and let others write."""
        try:
            os.fdatasync(self._fd)
        finally:
            os.close(self._fd)


def read_journal(path: Path) -> list[Block]:
    """The blocks of a journal, also of one that is being written."""
    return _parse(path, path.read_bytes())[0]


def _packed(kind: bytes, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload), zlib.crc32(payload, zlib.crc32(kind))) + payload


def _parse(path: Path, data: bytes) -> tuple[list[Block], int]:
    """The whole blocks, and where the last of them ends."""
    if not data.startswith(MAGIC):
        raise JournalError(f"{path} holds no measurement of ours")
    blocks: list[Block] = []
    good = len(MAGIC)
    while len(data) - good >= _HEADER.size:
        kind, length, crc = _HEADER.unpack_from(data, good)
        end = good + _HEADER.size + length
        payload = data[good + _HEADER.size : end]
        if length > BLOCK_MAX or end > len(data):
            break
        if zlib.crc32(payload, zlib.crc32(kind)) != crc:
            break
        blocks.append((kind, payload))
        good = end
    return blocks, good


def _lock(path: Path, fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(f"{path} is being written by another process") from error


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
