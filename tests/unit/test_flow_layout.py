"""flow.h and its numpy mirrors, compared through the BTF of the compiled object."""

import numpy as np
import pytest

from bongsu.protocol.flow import records
from bongsu.system.bpf.objects import compiled
from bongsu.system.flow import layout
from tests.unit.test_gre_layout import STRUCT, Btf


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(compiled("flow"))


@pytest.mark.parametrize("name", sorted(layout.STRUCTS))
def test_structures(btf: Btf, name: str) -> None:
    ours, theirs = layout.STRUCTS[name], btf.find(name, STRUCT)
    assert ours.itemsize == theirs.size
    fields = ours.fields
    assert fields is not None
    mirrored = [(each, fields[each][1], fields[each][0].itemsize) for each in ours.names or ()]
    assert mirrored == btf.members(theirs)
    # no hole: the fields fill the structure, so equal flows are equal bytes
    assert sum(size for _, _, size in mirrored) == theirs.size


def test_the_protocol_has_the_same_rows() -> None:
    assert layout.FLOW == records.FLOW
    assert layout.KEY == records.KEY


def test_shared_arrays_are_packed() -> None:
    # the kernel rounds elements of an array map up to eight bytes
    for dtype in (layout.SET, layout.OWNERS, layout.SETTINGS, layout.INTERFACE, layout.STATS):
        assert np.dtype(dtype).itemsize % 8 == 0


def test_a_set_is_a_line_of_memory() -> None:
    assert layout.SET.itemsize == 64
