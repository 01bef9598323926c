"""gre.h and its numpy mirror, compared through the BTF of the compiled object."""

import re
import struct
from dataclasses import dataclass

import numpy as np
import pytest

from bongsu.system.bpf import layout
from bongsu.system.bpf.objects import HERE, compiled

INT, ARRAY, STRUCT, ENUM, TYPEDEF = 1, 3, 4, 6, 8
TAIL = {1: 4, 3: 12, 14: 4, 15: 12, 17: 4}
PER_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


@dataclass(frozen=True)
class Type:
    name: str
    kind: int
    size: int
    """Bytes, or the type referred to."""
    tail: bytes


class Btf:
    """BTF as far as structures of integers and arrays need it (Documentation/bpf/btf.rst)."""

    def __init__(self, elf: bytes) -> None:
        blob = section(elf, b".BTF")
        _, _, _, head, types_at, types_size, text_at, _ = struct.unpack_from("<HBBIIIII", blob)
        text, at = blob[head + text_at :], head + types_at
        self.types = [Type("void", 0, 0, b"")]
        while at < head + types_at + types_size:
            name, info, size = struct.unpack_from("<III", blob, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            long = 12 if kind == 15 else TAIL.get(kind, 0)
            if kind in PER_MEMBER:
                long = PER_MEMBER[kind] * count
            label = text[name : text.index(b"\0", name)].decode()
            self.types.append(Type(label, kind, size, blob[at + 12 : at + 12 + long]))
            at += 12 + long
        self.text = text

    def find(self, name: str, kind: int) -> Type:
        return next(each for each in self.types if each.name == name and each.kind == kind)

    def members(self, each: Type) -> list[tuple[str, int, int]]:
        """Name, offset in bytes, size in bytes."""
        found = []
        for name, number, offset in struct.iter_unpack("<III", each.tail):
            label = self.text[name : self.text.index(b"\0", name)].decode()
            found.append((label, (offset & 0xFFFFFF) // 8, self.size(number)))
        return found

    def size(self, number: int) -> int:
        each = self.types[number]
        if each.kind in (INT, STRUCT, ENUM):
            return each.size
        if each.kind == ARRAY:
            element, _, count = struct.unpack("<III", each.tail)
            return self.size(element) * count
        return self.size(each.size)


def section(elf: bytes, wanted: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", elf, table + entry * i) for i in range(count)]
    text = elf[heads[names][4] : heads[names][4] + heads[names][5]]
    for name, _, _, _, at, size in heads:
        if text[name : text.index(b"\0", name)] == wanted:
            return elf[at : at + size]
    raise KeyError(wanted)


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(compiled("gre"))


@pytest.mark.parametrize("name", sorted(layout.STRUCTS))
def test_structures(btf: Btf, name: str) -> None:
    ours, theirs = layout.STRUCTS[name], btf.find(name, STRUCT)
    assert ours.itemsize == theirs.size
    fields = ours.fields
    assert fields is not None
    mirrored = [(each, fields[each][1], fields[each][0].itemsize) for each in ours.names or ()]
    assert mirrored == btf.members(theirs)
    # no hole: the fields fill the structure, so equal tunnels are equal bytes
    assert sum(size for _, _, size in mirrored) == theirs.size


def test_reasons() -> None:
    # an enumeration that only names array indexes is not in BTF
    (body,) = re.findall(r"enum gre_drop \{(.*?)\};", (HERE / "gre.h").read_text(), re.DOTALL)
    names = re.findall(r"\bGRE_\w+(?=,)", body)
    assert names == [*(f"GRE_{why.upper()}" for why in layout.DROPS), "GRE_DROPS"]


def test_shared_arrays_are_packed() -> None:
    # the kernel rounds elements of an array map up to eight bytes
    for dtype in (layout.COUNTERS, layout.STATE):
        assert np.dtype(dtype).itemsize % 8 == 0
