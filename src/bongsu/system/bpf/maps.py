"""Maps of the kernel as Python and numpy see them: single elements, whole tables, shared memory."""

import ctypes as c
import errno
import mmap
import os
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf import libbpf

MMAPABLE = 1 << 10
"""BPF_F_MMAPABLE."""


class _MapInfo(c.Structure):
    """struct bpf_map_info, as far as its name."""

    _fields_ = (
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("key_size", c.c_uint32),
        ("value_size", c.c_uint32),
        ("max_entries", c.c_uint32),
        ("map_flags", c.c_uint32),
        ("name", c.c_char * 16),
    )


class Map:
    """One map: `key_size`, `value_size` in bytes, `max_entries`, `flags`, `id`, `name`."""

    def __init__(self, fd: int) -> None:
        info, size = _MapInfo(), c.c_uint32(c.sizeof(_MapInfo))
        what = "read what the kernel knows of a map"
        libbpf.call(what, "bpf_obj_get_info_by_fd", fd, c.byref(info), c.byref(size))
        self.fd = fd
        self.id = int(info.id)
        self.name = bytes(info.name).split(b"\0")[0].decode()
        self.key_size, self.value_size = int(info.key_size), int(info.value_size)
        self.max_entries, self.flags = int(info.max_entries), int(info.map_flags)

    @classmethod
    def by_id(cls, number: int) -> Self:
        """A map that exists. Errors: BpfError ENOENT."""
        return cls(libbpf.call(f"map {number}", "bpf_map_get_fd_by_id", number))

    def lookup(self, key: bytes) -> bytes | None:
        """The value of `key`, None without one. Not for per-CPU maps."""
        value = c.create_string_buffer(self.value_size)
        code = self._call("bpf_map_lookup_elem", self._key(key), value, allow=errno.ENOENT)
        return None if code < 0 else value.raw

    def update(self, key: bytes, value: bytes) -> None:
        """Sets `key`, new or not. Errors: BpfError E2BIG or ENOMEM when the map is full."""
        if len(value) != self.value_size:
            raise ValueError(f"{self.name}: a value has {self.value_size} bytes")
        self._call("bpf_map_update_elem", self._key(key), value, 0)

    def delete(self, key: bytes) -> bool:
        """Removes `key`; False when it was not there."""
        return self._call("bpf_map_delete_elem", self._key(key), allow=errno.ENOENT) == 0

    def delete_many(self, keys: npt.NDArray[Any]) -> int:
        """Removes an array of keys in few calls; how many were there. Those that were not do not
        matter.
        """
        if keys.dtype.itemsize != self.key_size:
            raise ValueError(f"{self.name}: a key has {self.key_size} bytes")
        keys, done, removed = np.ascontiguousarray(keys), 0, 0
        while done < len(keys):
            count = c.c_uint32(len(keys) - done)
            code = self._call(
                "bpf_map_delete_batch",
                keys[done:].ctypes.data,
                c.byref(count),
                None,
                allow=errno.ENOENT,
            )
            removed += count.value
            done += count.value + (code < 0)  # it stops at a key that is not there
        return removed

    def push(self, values: npt.NDArray[np.uint32]) -> None:
        """Puts elements into a queue. Errors: BpfError E2BIG when it is full.

        The kernel has no batch for queues; a hundred thousand elements take a fifth of a second.
        """
        update, fd, element = libbpf.lib().bpf_map_update_elem, self.fd, c.c_uint32()
        place = c.addressof(element)
        for value in values.tolist():
            element.value = value
            if (code := update(fd, None, place, 0)) < 0:
                raise libbpf.BpfError(-code, f"map {self.name}")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values, one by one. A table that changes meanwhile may be seen in part."""
        key: bytes | None = None
        following = c.create_string_buffer(self.key_size)
        while self._call("bpf_map_get_next_key", key, following, allow=errno.ENOENT) == 0:
            key = following.raw
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def batch(
        self, keys: npt.DTypeLike, values: npt.DTypeLike
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The whole hash or array in few calls: (keys, values), structured arrays of n elements."""
        key_type, value_type = np.dtype(keys), np.dtype(values)
        if key_type.itemsize != self.key_size or value_type.itemsize != self.value_size:
            raise ValueError(f"{self.name}: {self.key_size} and {self.value_size} bytes are meant")
        all_keys = np.empty(self.max_entries, key_type)
        all_values = np.empty(self.max_entries, value_type)
        # the cursor of a hash is a bucket number, that of an array a key: never larger than this
        cursor = c.create_string_buffer(max(self.key_size, 8))
        done, first = 0, True
        while done < self.max_entries:
            count = c.c_uint32(self.max_entries - done)
            code = self._call(
                "bpf_map_lookup_batch",
                None if first else cursor,
                cursor,
                all_keys[done:].ctypes.data,
                all_values[done:].ctypes.data,
                c.byref(count),
                None,
                allow=errno.ENOENT,
            )
            done, first = done + count.value, False
            if code < 0:
                break
        return all_keys[:done], all_values[:done]

    def shared(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A BPF_F_MMAPABLE array as memory: reads and writes are the kernel's, without a call.

        The array keeps its own mapping; the map's descriptor may be closed.
        """
        element = np.dtype(dtype)
        if not self.flags & MMAPABLE or element.itemsize != self.value_size:
            raise ValueError(f"{self.name}: an mmapable array of {self.value_size} bytes is meant")
        if self.value_size % 8:
            raise ValueError(f"{self.name}: elements are not packed")
        size = self.max_entries * self.value_size
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(self.fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return np.frombuffer(memory, element, self.max_entries)

    def close(self) -> None:
        """Lets the descriptor go."""
        os.close(self.fd)

    def _key(self, key: bytes) -> bytes:
        if len(key) != self.key_size:
            raise ValueError(f"{self.name}: a key has {self.key_size} bytes")
        return key

    def _call(self, name: str, *arguments: Any, allow: int = 0) -> int:
        return libbpf.call(f"map {self.name}", name, self.fd, *arguments, allow=(allow,))
