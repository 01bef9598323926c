"""The relay end to end: client, entry, egress and endpoint in namespaces of their own."""

from collections.abc import Iterator

import pytest

from bongsu.system.relay import layout
from tests.root.relay_world import OFF, World, exchange, world

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_goes_and_its_answer_comes(w: World, family: int) -> None:
    w.start(family)
    assert exchange(w, family) == (OFF[family], 40000)
    (session,) = w.records("x")
    assert (session["role"], session["off_port"], session["port"]) == ("egress", 40000, 7)
    assert str(layout.address(session["off"])) == OFF[family]
    size = 128 if family == 4 else 148
    for where in "ex":
        carried = w.plane(where).counters()["seoul"]
        assert (carried.up.packets, carried.up.bytes) == (1, size)
        assert (carried.down.packets, carried.down.bytes) == (1, size)
        assert w.drops(where) == {}
