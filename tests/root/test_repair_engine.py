"""The repair engine between namespaces: what arrives, by which path, and what is refused."""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.model.accelerator import Duplicate, Mesh
from bongsu.plan.relay import RelayPlan, number
from bongsu.protocol.repair.packet import Header, Trailer, Type, repair_key, sealed
from bongsu.system import netns
from bongsu.system.repair.engine import DEVICE, EPOCH_FILE, RepairEngine
from tests.root.repair_world import (
    ACCELERATOR,
    PORT,
    SECRET,
    Pop,
    World,
    repair_world,
    wait,
)
from tests.unit.repair_streams import mode, relayed

pytestmark = pytest.mark.root

KEY = repair_key(SECRET)
SO_TIMESTAMPNS = 35


@pytest.fixture(params=[4, 6])
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with repair_world(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with repair_world(tmp_path) as made:
        yield made


def repairing(world: World, how: Any, *pops: str) -> None:
    for pop in pops:
        for direction in ("up", "down"):
            world.pops[pop].engine.set_mode(ACCELERATOR, direction, how)  # type: ignore[arg-type]


def pour(
    source: Pop, to: str, count: int, *, pause_s: float = 0.0004, first: int = 0
) -> list[bytes]:
    """Packets at some rate; their bytes tell them apart."""
    packets = [
        relayed(source.header(to), 60 + seed % 900, seed) for seed in range(first, first + count)
    ]
    for packet in packets:
        source.send(packet)
        time.sleep(pause_s)
    return packets


def test_both_ways_unchanged(both: World) -> None:
    repairing(both, mode(), "a", "b")
    a, b = both.pops["a"], both.pops["b"]
    there = pour(a, "b", 50)
    assert b.receive(50) == there
    back = relayed(b.header("a", kind=1), 1300)
    b.send(back)
    assert a.receive(1) == [back]
    assert b.row("received")["lost"] == 0


def test_losses_are_repaired(both: World) -> None:
    repairing(both, mode(block=32), "a", "b")
    both.lossy("a", "b", 0.05)
    a, b = both.pops["a"], both.pops["b"]
    sent = pour(a, "b", 4000)
    wait(lambda: b.row("received")["judged"] >= 3990)
    got = b.received()
    row, lost = b.row("received"), len(set(sent) - set(got))
    assert len(got) == len(set(got))
    assert set(got) <= set(sent)
    # 5 % were lost on the way, nearly none of them for good
    assert row["lost"] > 120
    assert lost < 12
    assert row["repaired"] == row["lost"] - lost
    assert sum(row["lateness"]) >= row["repaired"]
    left = a.row("sent")
    assert left["parities"] / left["packets"] <= 0.251
    wait(lambda: a.row("sent")["lost"] > 100)


def test_a_clean_path_costs_nothing_after_a_while(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    for turn in range(12):
        pour(a, "b", 1000, pause_s=0, first=1000 * turn)
        wait(lambda turn=turn: b.row("received")["judged"] >= 1000 * turn + 900)  # type: ignore[misc]
    wait(lambda: a.row("sent")["rows"] == 0)
    # said again, it does not begin anew
    repairing(world, mode(), "a", "b")
    assert a.row("sent")["rows"] == 0
    repairing(world, mode(block=10), "a", "b")
    assert a.row("sent")["rows"] == 2


def test_copies_by_two_paths_outlive_the_direct_one(both: World) -> None:
    repairing(both, Duplicate(mode="duplicate"), "a", "b")
    a, b, c = (both.pops[pop] for pop in "abc")
    direct, third = both.address("b", "a"), both.address("c", "a")
    a.engine.set_paths(number("node", "b"), [direct, third])
    sent = pour(a, "b", 100)
    wait(lambda: b.row("received")["duplicates"] == 100)
    assert sorted(b.received()) == sorted(sent)
    both.lossy("a", "b", 1.0)
    # the other end has no second path for its answers yet
    b.engine.set_paths(number("node", "a"), [both.address("a", "b"), both.address("c", "b")])
    sent = pour(a, "b", 1500, pause_s=0.002, first=500)
    # on the way the hops that are left went down
    assert sorted(packet[3:] for packet in b.receive(1500)) == sorted(p[3:] for p in sent)
    assert a.engine.counters().engine["bypassed"] == 0
    assert c.engine.counters().engine["forwarded"] >= 200


def test_copies_by_one_path_come_later(world: World) -> None:
    repairing(world, Duplicate(mode="duplicate"), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    with netns.socket_in(a.space, socket.AF_PACKET, socket.SOCK_RAW, 0) as ear:
        ear.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        ear.bind(("to-b", 3))
        ear.setblocking(False)
        sent = pour(a, "b", 100, pause_s=0)
        wait(lambda: b.row("received")["duplicates"] == 100)
        assert b.received() == sent
        seen: dict[bytes, list[float]] = {packet: [] for packet in sent}
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = ear.recvmsg(2048, socket.CMSG_SPACE(16))
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                # Ethernet, IPv4 and UDP before it, the trailer behind
                if (packet := frame[42:-20]) in seen:
                    seen[packet].append(seconds + nanoseconds / 1e9)
    # one burst does not take both
    assert all(copy - first > 0.004 for first, copy in seen.values())


def test_parity_through_a_third_pop(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b, c = (world.pops[pop] for pop in "abc")
    world.lossy("a", "b", 1.0)
    wait(lambda: not a.engine.counters().alive[number("node", "b")])
    a.engine.set_paths(number("node", "b"), [world.address("c", "a")])
    b.engine.set_paths(number("node", "a"), [world.address("c", "b")])
    wait(lambda: a.engine.counters().alive[number("node", "b")])
    sent = pour(a, "b", 60)
    got = b.receive(60)
    # on the way the hops that are left went down
    assert [packet[3:] for packet in got] == [packet[3:] for packet in sent]
    assert {packet[2] for packet in got} == {0}
    assert c.engine.counters().engine["forwarded"] >= 60


def test_a_path_that_is_no_peers(world: World) -> None:
    with pytest.raises(OSError, match="path to node"):
        world.pops["a"].engine.set_paths(number("node", "b"), [world.address("a", "b")])


def test_the_ordinary_way_without_a_mode_or_a_peer(world: World) -> None:
    a, b = world.pops["a"], world.pops["b"]
    packet = relayed(a.header("b"), 100)
    a.send(packet)
    # back into its own device, where the relay takes it for one that passes through
    assert a.receive(1) == [packet]
    repairing(world, mode(), "a", "b")
    a.send(packet)
    assert b.receive(1) == [packet]
    b.engine.close()
    wait(lambda: not a.engine.counters().alive[number("node", "b")])
    a.send(packet)
    assert a.receive(1) == [packet]
    assert a.engine.counters().engine["bypassed"] == 2
    b.engine = b.start()


@pytest.mark.parametrize("forgetful", [False, True])
def test_restarted_it_goes_on(world: World, forgetful: bool) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    pour(a, "b", 200)
    b.receive(200)
    if forgetful:
        (a.state / EPOCH_FILE).write_text("0\n")
    a.restart()
    repairing(world, mode(), "a")
    world.meet()
    if forgetful:
        # what is taken for old is answered by a report, from which it learns
        a.send(relayed(a.header("b"), 50))
        wait(lambda: a.row("sent")["epoch"] > 4096)
        b.received()
    sent = pour(a, "b", 100, first=1000)
    # the first one, too, may have come back by now
    got = [packet for packet in b.receive(100) if len(packet) != 50]
    assert got == sent
    b.restart()
    repairing(world, mode(), "b")
    world.meet()
    sent = pour(a, "b", 100, first=2000)
    assert b.receive(100) == sent


def test_larger_than_the_path(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    sent = [relayed(a.header("b"), size) for size in (1472, 2000, 2001, 9000)]
    for packet in sent:
        a.send(packet)
    assert b.receive(4) == sent


def test_the_class_is_on_the_outside(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a = world.pops["a"]
    ear = netns.socket_in(world.spaces["b"], 17, 3, 0x0800)
    ear.bind(("to-a", 0x0800))
    ear.settimeout(30)
    packet = bytearray(relayed(a.header("b"), 100))
    packet[25] = 0xB8 | 1
    a.send(bytes(packet))
    while True:
        frame = ear.recv(2048)
        if bytes(packet) in frame:
            # expedited forwarding, and no ECN, since nobody would carry a mark back
            assert frame[15] == 0xB8
            return


def test_strangers_and_forgers(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    plain = Trailer(2**31, 1, Type.PLAIN)
    good = sealed(relayed(a.header("b"), 100) + plain.pack(), KEY)
    world.pops["c"].engine.close()
    refused = {
        "stranger": [
            ("a", PORT + 3, good),
            # our own name, and one that nobody has
            ("c", PORT + 2, sealed(relayed(b.header("b"), 100) + plain.pack(), KEY)),
            ("c", PORT + 2, sealed(relayed(Header(0, b_number(), 7, 7), 100) + plain.pack(), KEY)),
        ],
        "forged": [
            ("c", PORT + 2, good[:-1] + bytes([good[-1] ^ 1])),
            ("c", PORT + 2, good[:50] + bytes([good[50] ^ 1]) + good[51:]),
            ("c", PORT + 2, sealed(relayed(a.header("b"), 100) + plain.pack(), None)),
        ],
        "unknown": [
            (
                "c",
                PORT + 2,
                sealed(relayed(a.header("b", accelerator=5), 100) + plain.pack(), KEY),
            )
        ],
        # to a third, who is not there any more to hear of it: with no hop left, and back to its sender
        "misled": [
            ("c", PORT + 2, sealed(relayed(hopless(a.header("a")), 99) + plain.pack(), KEY)),
            ("c", PORT + 2, sealed(relayed(a.header("c"), 99) + plain.pack(), KEY)),
        ],
        "malformed": [
            ("c", PORT + 2, b""),
            ("c", PORT + 2, good[:35]),
            ("c", PORT + 2, b"\x02" + good[1:]),
        ],
    }
    for why, packets in refused.items():
        before = b.engine.counters().engine[why]
        for pop, port, packet in packets:
            with world.pops[pop].udp("b", port=port) as speaker:
                speaker.send(packet)
        wait(lambda: b.engine.counters().engine[why] == before + len(packets))  # noqa: B023
    assert b.received() == []
    with world.pops["c"].udp("b") as speaker:
        speaker.send(good)
    assert b.receive(1) == [good[:-20]]
    world.pops["c"].engine = world.pops["c"].start()


def test_a_greeting_from_before_is_no_sign_of_life(world: World) -> None:
    a, b = world.pops["a"], world.pops["b"]
    a.engine.close()
    me = number("node", "a")
    wait(lambda: not b.engine.counters().alive[me])
    body = struct.pack("=QQ", 1, 2)
    hello = sealed(
        a.header("b", accelerator=0).pack() + body + Trailer(9, 0, Type.HELLO).pack(), KEY
    )
    with a.udp("b") as speaker:
        speaker.settimeout(30)
        for _ in range(5):
            speaker.send(hello)
            # it greets back, out of turn as well, and repeats what it was told
            while struct.unpack_from("=Q", answer := speaker.recv(100), 24)[0] != 1:
                pass
            assert not b.engine.counters().alive[me]
        # who repeats what it just heard lives
        alive = body[:8] + answer[16:24]
        speaker.send(
            sealed(
                a.header("b", accelerator=0).pack() + alive + Trailer(9, 0, Type.HELLO).pack(), KEY
            )
        )
        wait(lambda: b.engine.counters().alive[me])
    a.engine = a.start()


def b_number() -> int:
    return number("node", "b")


def hopless(header: Header) -> Header:
    return Header(header.kind, header.destination, header.source, header.accelerator, 0)


def test_a_flood_of_noise_changes_nothing(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    world.pops["c"].engine.close()
    noise = random.Random(5)
    known = sealed(relayed(a.header("b"), 100) + Trailer(9, 1, Type.DATA).pack(), KEY)
    with world.pops["c"].udp("b") as speaker:
        for _ in range(5000):
            packet = bytearray(known)
            for _ in range(noise.randrange(1, 6)):
                packet[noise.randrange(len(packet))] = noise.randrange(256)
            if noise.random() < 0.3:
                packet = packet[: noise.randrange(len(packet))]
            if noise.random() < 0.5:
                # with a right tag: a peer gone mad
                packet = bytearray(sealed(bytes(packet[:-8]), KEY) if len(packet) > 40 else packet)
            speaker.send(packet)
    assert b.engine.failure is None
    # it may have spoken in the name of a, who learns of it
    probe = relayed(a.header("b"), 61)

    def heals() -> bool:
        a.send(probe)
        time.sleep(0.05)
        return probe in b.received()

    wait(heals)
    sent = pour(a, "b", 100)
    got = b.receive(100)
    assert [packet for packet in got if packet in set(sent)] == sent
    world.pops["c"].engine = world.pops["c"].start()


DIES = """
import sys, time
from pathlib import Path
from bongsu.plan.relay import RelayPlan
from bongsu.system.repair.engine import RepairEngine
engine = RepairEngine.start(RelayPlan.model_validate_json(sys.argv[1]), None, Path(sys.argv[2]))
print(engine.ifindex, flush=True)
time.sleep(600)
"""


def test_killed_its_device_goes(tmp_path: Path) -> None:
    space = f"bst-r-{os.getpid()}-k"
    plan = RelayPlan(number=1, port=PORT, key=None, mesh=Mesh(), peers=[], accelerators=[])
    netns.create(space)
    try:
        with netns.in_netns(space):
            process = subprocess.Popen(
                [sys.executable, "-c", DIES, plan.model_dump_json(), str(tmp_path)],
                stdout=subprocess.PIPE,
            )
        assert process.stdout is not None
        index = int(process.stdout.readline())
        device = Path(f"/proc/sys/net/ipv4/conf/{DEVICE}")
        with netns.in_netns(space):
            assert device.exists()
            assert index > 1
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait(lambda: not device.exists())
    finally:
        netns.remove(space)


def test_a_device_that_was_removed_is_said(world: World) -> None:
    a = world.pops["a"]
    assert a.engine.failure is None
    with netns.in_netns(a.space):
        subprocess.run(["ip", "link", "del", DEVICE], check=True)
    wait(lambda: a.engine.failure is not None)


def test_peers_come_and_go(world: World) -> None:
    repairing(world, mode(), "a", "b")
    a, b = world.pops["a"], world.pops["b"]
    pour(a, "b", 20)
    b.receive(20)
    plan = world.plan("a")
    with netns.in_netns(a.space):
        a.engine.apply(plan.model_copy(update={"peers": plan.peers[1:]}))
        assert list(a.engine.counters().alive) == [number("node", "c")]
        assert len(a.engine.counters().sent) == 0
        a.engine.apply(plan)
    wait(lambda: a.engine.counters().alive[number("node", "b")])
    sent = pour(a, "b", 20, first=100)
    assert b.receive(20) == sent


def test_two_in_one_namespace_are_refused(world: World) -> None:
    a = world.pops["a"]
    with netns.in_netns(a.space), pytest.raises(OSError, match=DEVICE):
        RepairEngine.start(world.plan("a"), SECRET, a.state)
