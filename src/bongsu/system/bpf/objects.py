"""A compiled object's programs and maps, and the kernel's programs and maps found by number.

File descriptors are owned by what is returned here and closed by `close`. Nothing is ever pinned:
what is attached keeps its program alive, and a program keeps its maps.
"""

import ctypes as c
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bongsu.system.bpf import libbpf
from bongsu.system.bpf.maps import Map

HERE = Path(__file__).parent
MAX_MAPS = 64
"""Maps of one program that are looked at: ours have fewer than a dozen."""


def compiled(name: str) -> bytes:
    """The bytes of `name`.bpf.o, which the package build has put beside this module.

    Errors: FileNotFoundError, when the package was not built.
    """
    return (HERE / f"{name}.bpf.o").read_bytes()


class Program:
    """A loaded program: its descriptor, and what the kernel says of it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        info = _ProgInfo()
        ids = (c.c_uint32 * MAX_MAPS)()
        info.nr_map_ids, info.map_ids = MAX_MAPS, c.addressof(ids)
        _info(fd, info)
        self.id = int(info.id)
        self.name = bytes(info.name).split(b"\0")[0].decode()
        self.tag = bytes(info.tag)
        """A hash of the instructions: equal programs have equal tags, whatever their maps."""
        self.map_ids = list(ids[: min(info.nr_map_ids, MAX_MAPS)])

    @classmethod
    def by_id(cls, number: int) -> Self:
        """A program that is running. Errors: BpfError ENOENT."""
        what = f"program {number}"
        return cls(libbpf.call(what, "bpf_prog_get_fd_by_id", number))

    def bind(self, each: Map) -> None:
        """Ties a map's life to the program's, and makes it findable through it (Linux 5.10)."""
        what = f"bind {each.name} to {self.name}"
        libbpf.call(what, "bpf_prog_bind_map", self.fd, each.fd, None)

    def maps(self) -> dict[str, Map]:
        """The maps it uses, by the kernel's (15 character) name. The caller closes them."""
        found = [Map.by_id(number) for number in self.map_ids]
        return {each.name: each for each in found}

    def close(self) -> None:
        """Lets the descriptor go; what is attached stays."""
        os.close(self.fd)


class Object:
    """A compiled object, opened, then loaded once."""

    def __init__(self, image: bytes, name: str) -> None:
        options = libbpf.OpenOpts(c.sizeof(libbpf.OpenOpts), name.encode())
        self.name = name
        self._handle = libbpf.pointer(
            f"open BPF object {name}",
            "bpf_object__open_mem",
            image,
            len(image),
            c.byref(options),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resize(self, entries: Mapping[str, int]) -> None:
        """Sets max_entries by map name, before loading."""
        maps = self._walk("map")
        for name, count in entries.items():
            libbpf.call(f"resize {name}", "bpf_map__set_max_entries", maps[name], count)

    def reuse(self, maps: Mapping[str, Map]) -> None:
        """Binds maps that exist already, before loading. Errors: BpfError on another layout."""
        own = self._walk("map")
        for name, existing in maps.items():
            libbpf.call(f"reuse {name}", "bpf_map__reuse_fd", own[name], existing.fd)

    def only(self, programs: set[str]) -> None:
        """Loads only these programs."""
        for name, handle in self._walk("program").items():
            libbpf.call(f"select {name}", "bpf_program__set_autoload", handle, name in programs)

    def load(self) -> None:
        """Gives all to the kernel. Errors: BpfError with the verifier's log."""
        libbpf.call(f"load BPF object {self.name}", "bpf_object__load", self._handle)

    def program(self, name: str) -> Program:
        """A loaded program, with a descriptor of its own. Errors: KeyError."""
        fd: int = libbpf.lib().bpf_program__fd(self._walk("program")[name])
        return Program(os.dup(fd))

    def maps(self) -> dict[str, Map]:
        """All maps, each with a descriptor of its own."""
        handles = self._walk("map")
        return {
            name: Map(os.dup(libbpf.lib().bpf_map__fd(handle))) for name, handle in handles.items()
        }

    def close(self) -> None:
        """Frees it. Programs that are attached and descriptors taken before stay."""
        if self._handle:
            libbpf.lib().bpf_object__close(self._handle)
        self._handle = 0

    def _walk(self, kind: str) -> dict[str, int]:
        library, found = libbpf.lib(), {}
        step = getattr(library, f"bpf_object__next_{kind}")
        name = getattr(library, f"bpf_{kind}__name")
        handle = step(self._handle, None)
        while handle:
            found[name(handle).decode()] = handle
            handle = step(self._handle, handle)
        return found


class _ProgInfo(c.Structure):
    """struct bpf_prog_info, as far as its name."""

    _fields_ = (
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("tag", c.c_uint8 * 8),
        ("jited_prog_len", c.c_uint32),
        ("xlated_prog_len", c.c_uint32),
        ("jited_prog_insns", c.c_uint64),
        ("xlated_prog_insns", c.c_uint64),
        ("load_time", c.c_uint64),
        ("created_by_uid", c.c_uint32),
        ("nr_map_ids", c.c_uint32),
        ("map_ids", c.c_uint64),
        ("name", c.c_char * 16),
    )


def _info(fd: int, info: c.Structure) -> None:
    size = c.c_uint32(c.sizeof(info))
    what = "read what the kernel knows of a program"
    libbpf.call(what, "bpf_obj_get_info_by_fd", fd, c.byref(info), c.byref(size))
