"""The relay's data plane and the repair engine together: what a listener with repair carries."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.model.accelerator import Duplicate, Repair
from bongsu.plan.relay import number
from bongsu.system import netns
from bongsu.system.repair.engine import RepairEngine
from tests.root.relay_world import (
    ACCELERATED,
    CLIENT,
    ENDPOINT,
    POPS,
    SECRET,
    World,
    again,
    eventually,
    plan,
    world,
)
from tests.unit.repair_streams import mode

pytestmark = pytest.mark.root

ACCELERATOR = number("accelerator", "seoul")
LOSSY = "numgen inc mod 20 0"
"""Each twentieth packet."""


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


@contextlib.contextmanager
def engines(
    w: World, state: Path, repair: Repair, family: int = 4, outer: int = 4
) -> Iterator[dict[str, RepairEngine]]:
    """At the entry and the egress, each known to its plane, and both know of each other."""
    made: dict[str, RepairEngine] = {}
    try:
        for where in "ex":
            wanted = plan(where, family, outer=outer, repair=repair)
            with netns.in_netns(w.ns(where)):
                engine = made[where] = RepairEngine.start(wanted, SECRET, state / where)
                w.plane(where).set_repair(engine.ifindex)
            for direction in ("up", "down"):
                engine.set_mode(ACCELERATOR, direction, repair)  # type: ignore[arg-type]
        eventually(
            lambda: all(
                made[one].counters().alive[number("node", other)] for one, other in ("ex", "xe")
            ),
            "the engines know of each other",
        )
        yield made
    finally:
        for where, engine in made.items():
            with netns.in_netns(w.ns(where)):
                w.plane(where).set_repair(None)
            engine.close()


def lose(w: World, where: str) -> None:
    """What an engine is sent is lost now and then."""
    rules = (
        "add table inet bad",
        "add chain inet bad in { type filter hook prerouting priority -300; }",
        f"add rule inet bad in udp dport 4612 {LOSSY} counter drop",
    )
    from bongsu.system.run import run

    with netns.in_netns(w.ns(where)):
        run(["nft", "-f", "-"], input="\n".join(rules) + "\n")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_through_both_engines_and_back(w: World, tmp_path: Path, family: int, outer: int) -> None:
    repair = mode()
    w.start(family, outer=outer, repair=repair)
    with engines(w, tmp_path, repair, family, outer) as made:
        with w.udp("s", ENDPOINT[family], 7) as far, w.udp("c", CLIENT[family], 40000) as near:
            for size in (1, 100, 1300):
                again(near, far, family, size=size)
        for where in "ex":
            counters = made[where].counters()
            assert counters.sent[0]["packets"] == counters.received[0]["packets"] == 3
            assert counters.engine["bypassed"] == 0
            carried = w.plane(where).counters()["seoul"]
            assert (carried.up.packets, carried.down.packets) == (3, 3)
            assert w.drops(where) == {}


def test_what_is_lost_between_the_pops_arrives(w: World, tmp_path: Path) -> None:
    repair = mode(block=10, overhead_percent=30)
    w.start(repair=repair)
    with engines(w, tmp_path, repair) as made:
        lose(w, "x")
        with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
            said = [each.to_bytes(2) * 50 for each in range(1000)]
            heard = []
            for batch in range(0, 1000, 50):
                for packet in said[batch : batch + 50]:
                    near.sendto(packet, (ACCELERATED[4], 7))
                # so many fit into the socket's buffer; none of these is lost for good
                heard += [far.recv(2048) for _ in range(50)]
        assert sorted(heard) == said
        row = made["x"].counters().received[0]
        assert row["repaired"] >= 30


def test_twice_arrives_once(w: World, tmp_path: Path) -> None:
    repair = Duplicate(mode="duplicate")
    w.start(repair=repair)
    with engines(w, tmp_path, repair) as made:
        lose(w, "x")
        with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
            for _ in range(40):
                again(near, far)
            eventually(
                lambda: made["x"].counters().received[0]["duplicates"] >= 30, "the copies come"
            )
            far.settimeout(0.2)
            with pytest.raises(TimeoutError):
                far.recv(2048)


def test_the_far_engine_dies_and_the_ordinary_way_is_taken(w: World, tmp_path: Path) -> None:
    repair = mode()
    w.start(repair=repair)
    with engines(w, tmp_path, repair) as made:
        with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
            again(near, far)
            made["x"].close()
            with netns.in_netns(w.ns("x")):
                w.plane("x").set_repair(None)
            eventually(lambda: not made["e"].counters().alive[number("node", "x")], "it is missed")
            again(near, far)
        assert made["e"].counters().engine["bypassed"] == 1
        for where in POPS:
            assert w.drops(where) == {}


def test_the_own_engine_dies_and_the_ordinary_way_is_taken(w: World, tmp_path: Path) -> None:
    repair = mode()
    w.start(repair=repair)
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        with engines(w, tmp_path, repair):
            again(near, far)
        again(near, far)
    assert w.plane("e").counters()["seoul"].unrepaired == 1
