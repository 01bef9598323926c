"""A BPF ring buffer of records that are all of one size, read as one array.

The kernel maps the ring's pages twice, one behind the other, so what has not been read yet is
always one piece of memory (kernel/bpf/ringbuf.c): a copy of it is all that reading takes.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf.maps import Map

HEADER = np.dtype([("length", "u4"), ("page", "u4")])
BUSY, DISCARDED = 1 << 31, 1 << 30


class Ring:
    """The reading end; one reader only."""

    def __init__(self, ring: Map, dtype: npt.DTypeLike) -> None:
        record = np.dtype(dtype)
        padding = -(HEADER.itemsize + record.itemsize) % 8
        self._element = np.dtype([("head", HEADER), ("record", record), ("_", f"V{padding}")])
        self._mask = ring.max_entries - 1
        page = mmap.PAGESIZE
        consumer = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        size = page + 2 * ring.max_entries
        producer = mmap.mmap(ring.fd, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._read = np.frombuffer(consumer, np.uint64, 1)
        self._written = np.frombuffer(producer, np.uint64, 1)
        self._data = np.frombuffer(producer, np.uint8, offset=page)

    def take(self) -> npt.NDArray[Any]:
        """All records that are complete, oldest first; the kernel may use their room again."""
        begin, end = int(self._read[0]), int(self._written[0])
        size = self._element.itemsize
        count, at = (end - begin) // size, begin & self._mask
        piece = self._data[at : at + count * size].view(self._element)
        busy = np.flatnonzero(piece["head"]["length"] & BUSY)
        piece = piece[: busy[0]] if len(busy) else piece
        taken = piece["record"].copy()
        self._read[0] = begin + len(taken) * size
        return taken
