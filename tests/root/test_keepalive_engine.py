"""The engine with real packets: what is on the wire, what is believed, what stops and comes back."""

import contextlib
import ctypes
import dataclasses
import os
import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.l2 import Ether

from bongsu.agent.keepalive import keepalive_ends, session_of
from bongsu.model.tunnel import Dialect, Keepalive
from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive import Ends, inner, reflect, request
from bongsu.system import netns
from bongsu.system.bpf import layout
from bongsu.system.gre.base import Seat
from bongsu.system.keepalive import library
from bongsu.system.keepalive.engine import Change, KeepaliveEngine
from bongsu.system.keepalive.memory import Memory
from tests.root.gre_world import MACS, PATIENCE_S, World, eventually, plan, world
from tests.unit.keepalive_machine import sizes

pytestmark = pytest.mark.root

RARE = Keepalive(seconds=100)
"""One request and no other for the length of a test."""
FAST = Keepalive(milliseconds=20)


class Watch:
    """An engine in `a`, and the tunnel's session."""

    def __init__(self, w: World, mode: str = "kernel") -> None:
        self.w, self.mode = w, mode
        backend = w.backend("a")
        self.memory = w.at("a", backend.keepalive_memory)
        self.engine = w.at("a", lambda: KeepaliveEngine(self.memory))
        self.ends: dict[int, Ends] = {}

    def add(self, keepalive: Keepalive, *, up: bool = True, **arguments: Any) -> int:
        made = plan("a", keepalive=keepalive, **arguments)
        backend = self.w.backend("a")
        seat = self.w.at("a", backend.seats)[made.name]
        session = self.w.at("a", lambda: session_of(made, seat))
        assert session.mode == "kernel"
        if self.mode == "socket":
            session = dataclasses.replace(session, mode="socket")
        self.w.at("a", lambda: self.engine.add(seat.slot, session, up=up))
        self.ends[seat.slot] = keepalive_ends(made)
        return seat.slot

    def record(self, slot: int) -> Any:
        return self.engine.records[slot]

    def refused(self, slot: int) -> dict[str, int]:
        counts = self.record(slot)["refused"]
        return {why: int(n) for why, n in zip(layout.REFUSALS, counts, strict=True) if n}

    def change(self) -> Change:
        """The next change of a line."""
        assert select.select([self.engine], [], [], PATIENCE_S)[0], "no line changed"
        (change,) = self.engine.transitions()
        return change

    def reply(
        self, slot: int, *, forged: int = 0, nonce: bytes = b"", keyed: int | None = None
    ) -> bytes:
        """What the peer would answer to the only request, or nearly that."""
        ends, record = self.ends[slot], self.record(slot)
        identification = int(record["tag"][0]) & layout.KEEPALIVE_IDENTIFICATION
        changed = Ends(ends.local, ends.remote, ends.key if keyed is None else keyed)
        return inner(changed, identification ^ forged, nonce=nonce or None)

    def throw(self, *packets: bytes) -> None:
        """To a, from the router."""
        six = packets[0][0] >> 4 == 6
        head = Ether(dst=MACS["ua"], src=MACS["ra"], type=0x86DD if six else 0x0800)
        self.w.throw("r", "ra", *(bytes(head) + packet for packet in packets))


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


@contextlib.contextmanager
def watching(w: World, mode: str = "kernel") -> Iterator[Watch]:
    watch = Watch(w, mode)
    try:
        yield watch
    finally:
        watch.engine.close()


def is_gre(frame: bytes) -> bool:
    if frame[12:14] == b"\x08\0":
        return frame[23] == 47
    return frame[12:14] == b"\x86\xdd" and frame[20] == 47


def silence(w: World, on: bool) -> None:
    """b hears nothing any more; nobody is told."""
    w.ip("r", f"link set rb {'down' if on else 'up'}")
    if not on:
        lines = [f"neigh replace {ip} lladdr {MACS['ub']} dev rb nud permanent" for ip in B_OUTER]
        w.ip("r", "addr replace 2001:db8:b::fe/64 dev rb nodad", *lines)


B_OUTER = ("198.51.100.1", "2001:db8:b::1")

FORMS = [
    (4, None, Dialect.CISCO, False),
    (4, 7, Dialect.CISCO, True),
    (6, None, Dialect.CISCO, False),
    (6, 7, Dialect.CISCO, True),
    (4, None, Dialect.HUAWEI, False),
    (6, None, Dialect.MIKROTIK, True),
    (4, 7, Dialect.VELOCLOUD, True),
    (6, None, Dialect.VELOCLOUD, False),
]
CASES = [("kernel", *form) for form in FORMS]
# Velocloud's replies come out of the tunnel, which our data plane does not let them do.
CASES += [("socket", *form) for form in FORMS if form[2] is not Dialect.VELOCLOUD]


@pytest.mark.parametrize(("mode", "family", "key", "dialect", "nonce"), CASES)
def test_request_and_reply(
    w: World, mode: str, family: int, key: int | None, dialect: Dialect, nonce: bool
) -> None:
    keepalive = Keepalive(seconds=100, dialect=dialect, nonce=nonce)
    w.create("a", family=family, key=key, tos=0x20, keepalive=keepalive)
    w.create("b", family=family, key=key, tos=0x20, peer_keepalive=keepalive)
    out, back = w.eye("r", "ra"), w.eye("r", "rb")
    with watching(w, mode) as watch:
        slot = watch.add(keepalive, family=family, key=key, tos=0x20)
        frame = out.one(is_gre)
        record = watch.record(slot)
        eventually(lambda: record["received"] == 1, "a reply")
        identification = int(record["tag"][0]) & layout.KEEPALIVE_IDENTIFICATION
        random = record["nonce"][0].tobytes() if nonce else None
        expected = request(watch.ends[slot], identification, 0x20, nonce=random, dialect=dialect)
        assert masked(frame[14:]) == masked(expected), "byte for byte"
        answer = back.one(is_gre)
        assert answer[:12] == bytes.fromhex((MACS["rb"] + MACS["ub"]).replace(":", ""))
        peer = keepalive_ends(plan("b", family=family, key=key, tos=0x20))
        # what the router on the way made of the outer header is not in it
        request_there = expected[:8] + bytes([254]) + expected[9:] if family == 4 else expected
        sent_back = reflect(fixed(request_there), peer, dialect, tos=0x20)
        whole = dialect is not Dialect.VELOCLOUD
        assert (answer[14:] if whole else masked(answer[14:])) == (
            sent_back if whole else masked(sent_back)
        )
        assert 0 < record["rtt_last"] == record["rtt_min"] == record["rtt_max"]
        assert record["answered"] == record["sent"] == 1
        assert watch.refused(slot) == {}
        assert w.counters("b").keepalives_reflected == 1
        assert w.counters("a").keepalives_received == 1


def masked(packet: bytes) -> bytes:
    """Without what the kernel chooses in an outer header: identification and checksum, flow label."""
    if packet[0] >> 4 == 4:
        return packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:]
    return packet[:1] + bytes([packet[1] & 0xF0]) + b"\0\0" + packet[4:]


def fixed(packet: bytes) -> bytes:
    """With the right checksum again."""
    if packet[0] >> 4 == 6:
        return packet
    bare = packet[:10] + b"\0\0" + packet[12:20]
    return bare[:10] + checksum(bare).to_bytes(2, "big") + packet[12:]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["kernel", "socket"])
def test_line_goes_down_after_the_retries_and_comes_back_with_a_reply(
    w: World, mode: str, family: int
) -> None:
    w.tunnel(family=family)
    w.routes_inside()
    with watching(w, mode) as watch:
        slot = watch.add(FAST, family=family)
        record = watch.record(slot)
        eventually(lambda: record["received"] >= 3, "replies")
        assert w.echo(4)
        silence(w, True)
        change = watch.change()
        assert not change.up
        assert change.unanswered == FAST.retries
        assert change.detected_ns <= change.stopped_ns
        assert w.at("a", lambda: w.backend("a").line("t")), "nobody was told yet"
        assert watch.memory.states is not None
        assert watch.memory.states["keepalive_down"][slot] == 1
        before = w.counters("a").tx_packets
        with w.udp("a") as near:
            near.sendto(b"lost", ("10.9.0.2", 7))
        after = w.counters("a")
        assert (after.tx_packets, after.drops["tx_line_down"]) == (before, 1), "data has stopped"
        sent = int(record["sent"])
        eventually(lambda: record["sent"] > sent + 2, "requests go on")
        silence(w, False)
        assert watch.change().up
        assert watch.memory.states["keepalive_down"][slot] == 0
        assert record["sent"] - record["answered"] <= 1
        assert w.echo(4)


def test_hysteresis(w: World) -> None:
    w.tunnel()
    silence(w, True)
    with watching(w) as watch:
        slot = watch.add(Keepalive(milliseconds=20, retries=2, up_after=4))
        assert not watch.change().up
        silence(w, False)
        change = watch.change()
        assert change.up
        assert watch.record(slot)["received"] == 4


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["kernel", "socket"])
def test_what_is_no_reply_of_ours(w: World, mode: str, family: int) -> None:
    rare = Keepalive(seconds=100, nonce=True)
    w.create("a", family=family, key=7, keepalive=rare)
    silence(w, True)
    with watching(w, mode) as watch:
        slot = watch.add(rare, family=family, key=7)
        record = watch.record(slot)
        eventually(lambda: record["sent"] == 1, "the request")
        nonce = record["nonce"][0].tobytes()
        right = watch.reply(slot, nonce=nonce)
        watch.throw(*[watch.reply(slot, forged=1 << 5, nonce=nonce)] * 3)
        eventually(lambda: watch.refused(slot) == {"not_ours": 3}, "wrong identification")
        watch.throw(*[watch.reply(slot, forged=1, nonce=nonce)] * 2)
        eventually(lambda: watch.refused(slot) == {"not_ours": 5}, "of a request never made")
        watch.throw(*[watch.reply(slot, nonce=bytes(8))] * 2, watch.reply(slot))
        expected = {"not_ours": 5, "no_nonce": 2, "length": 1}
        eventually(lambda: watch.refused(slot) == expected, "without the nonce")
        # another key, or other ends: it is of no session
        watch.throw(watch.reply(slot, nonce=nonce, keyed=8))
        six = family == 6
        start, bits = (8, 16) if six else (12, 4)
        stranger = right[: start + bits - 1] + b"\x77" + right[start + bits :]
        watch.throw(fixed(stranger), right)
        eventually(lambda: record["received"] == 1, "the right one")
        if mode == "kernel":
            assert watch.refused(slot) == expected
            assert w.at("a", w.backend("a").stray)["unknown"] == 2  # type: ignore[attr-defined]
        watch.throw(right, right)
        expected |= {"replayed": 2} | ({"header": 1} if mode == "socket" else {})
        eventually(lambda: watch.refused(slot) == expected, "once is enough")
        assert record["received"] == record["answered"] == 1


def test_no_socket_gets_a_copy_unless_the_thread_reads_it(w: World) -> None:
    w.tunnel()
    with netns.socket_in(w.ns("a"), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE) as raw:
        with watching(w) as watch:
            slot = watch.add(FAST)
            eventually(lambda: watch.record(slot)["received"] >= 3, "replies")
            assert not select.select([raw], [], [], 0)[0]
        with watching(w, "socket") as watch:
            slot = watch.add(FAST)
            eventually(lambda: watch.record(slot)["received"] >= 3, "replies")
            assert select.select([raw], [], [], PATIENCE_S)[0]


@pytest.mark.parametrize("family", [4, 6])
def test_replies_wait_for_a_thread_that_was_held_up(w: World, family: int) -> None:
    """Thousands of sessions whose replies are read from one socket, and for a while nobody reads."""
    count = 5000
    ear = ctypes.create_string_buffer(sizes()["ear"])
    library.lib().ka_ear_init(ear)
    fd = w.at("a", lambda: library.lib().ka_ear_open(ear, family))
    with socket.socket(fileno=fd) as heard:
        ends = keepalive_ends(plan("a", family=family))
        head = bytes(Ether(dst=MACS["ua"], src=MACS["ra"], type=0x86DD if family == 6 else 0x0800))
        w.throw("r", "ra", *[head + inner(ends, number) for number in range(count)])
        for _ in range(count):
            assert select.select([heard], [], [], PATIENCE_S)[0], "some were thrown away"
            heard.recv(100)


@pytest.mark.parametrize("family", [4, 6])
def test_reflection_is_capped(w: World, family: int) -> None:
    w.create("b", family=family, peer_keepalive=RARE)
    packet = request(keepalive_ends(plan("a", family=family)))
    back = w.eye("r", "rb")
    head = bytes(Ether(dst=MACS["ub"], src=MACS["rb"], type=0x86DD if family == 6 else 0x0800))
    w.throw("r", "rb", *[head + packet] * 200)

    def counted() -> tuple[int, int]:
        counters = w.counters("b")
        return counters.keepalives_reflected, counters.drops.get("rx_rate", 0)

    eventually(lambda: sum(counted()) == 200, "all are counted")
    passed, _ = counted()
    # a burst, and ten a second while they came
    assert layout.REFLECT_BURST <= passed <= layout.REFLECT_BURST + 10
    w.throw("r", "rb", head + packet + b"\xff")
    frames = [back.one(is_gre) for _ in range(passed)]
    assert {frame[14:] for frame in frames} == {
        reflect(packet, keepalive_ends(plan("b", family=family)))
    }


def test_a_keepalive_that_names_a_private_address_comes_back_all_the_same(w: World) -> None:
    """MikroTik's behind a NAT (linux-gre-keepalive#4)."""
    peer = Keepalive(dialect=Dialect.MIKROTIK)
    w.create("b", peer_keepalive=peer)
    ends, ours = keepalive_ends(plan("a")), keepalive_ends(plan("b"))
    private = Ends(ip_address("10.66.0.1"), ends.remote)
    outer = request(ends)
    packet = outer[:24] + inner(private, 4711)
    back = w.eye("r", "rb")
    w.throw("r", "rb", bytes(Ether(dst=MACS["ub"], src=MACS["rb"], type=0x0800)) + packet)
    assert back.one(is_gre)[14:] == reflect(packet, ours, Dialect.MIKROTIK)


def test_three_hundred_sessions(w: World) -> None:
    count, keepalive = 300, Keepalive(milliseconds=100)
    silent = set(range(0, count, 3))
    for number in range(count):
        inside = [f"10.9.{number // 128}.{number % 128 * 2}/31"]
        values = {"name": f"t{number}", "key": number, "addresses": inside, "peer_addresses": []}
        w.create("a", keepalive=keepalive, **values)
        if number not in silent:
            values["addresses"] = [f"10.9.{number // 128}.{number % 128 * 2 + 1}/31"]
            w.create("b", peer_keepalive=keepalive, **values)
    with watching(w) as watch:
        slots = [watch.add(keepalive, name=f"t{n}", key=n, peer_addresses=[]) for n in range(count)]
        dead = {slots[number] for number in silent}
        down: set[int] = set()

        def told() -> bool:
            down.update(change.slot for change in watch.engine.transitions() if not change.up)
            return down >= dead

        eventually(told, "the silent ones are down")
        assert down == dead, "and no others"
        records = watch.engine.records
        living = [slot for slot in slots if slot not in dead]
        assert not records["refused"][slots].any()
        assert (records["received"][living] + 1 >= records["sent"][living]).all()
        assert not records["received"][list(dead)].any()
        for slot in slots:
            watch.engine.remove(slot)
        assert watch.memory.states is not None
        assert not watch.memory.states["keepalive_down"].any(), "nobody would lift it any more"


def test_debug_lines(w: World) -> None:
    w.tunnel()
    with watching(w) as watch:
        slot = watch.add(FAST)
        eventually(lambda: watch.record(slot)["received"] >= 2, "replies")
        assert watch.engine.debug_lines() == []
        watch.engine.debug(True)
        eventually(lambda: len(watch.engine.debug_lines()) >= 4, "lines")
        lines = watch.engine.debug_lines()
        assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
        sent = next(line for line in lines if line.event == "sent")
        reply = next(line for line in lines if line.event == "reply")
        assert (sent.slot, sent.length, sent.ttl) == (slot, 24, 255)
        assert (reply.slot, reply.length, reply.ttl) == (slot, 24, 253)
        assert reply.rtt_ns > 0
        silence(w, True)
        watch.change()
        line = [each for each in watch.engine.debug_lines() if each.event == "line"][-1]
        assert (line.up, line.counter) == (False, FAST.retries)
        last = watch.engine.debug_lines()[-1].sequence
        watch.engine.debug(False)
        eventually(lambda: watch.record(slot)["sent"] > 10, "more requests")
        assert watch.engine.debug_lines(last) == []
        assert watch.engine.debug_lines(10**6)[0].sequence == 1, "of an engine before this one"


def test_changes_that_nobody_took_are_made_up_for(w: World) -> None:
    """More lines go down than changes are kept: then every line is told as it is now."""
    count = 9000
    memory = Memory.private(count + 1)
    engine = w.at("h", lambda: KeepaliveEngine(memory))
    try:
        made = w.at("a", lambda: session_of(plan("a", keepalive=RARE), Seat(1, True, False)))
        quick = dataclasses.replace(made, interval_ns=10**9, retries=1, ifindex=0)
        for slot in range(1, count + 1):
            w.at("h", lambda slot=slot: engine.add(slot, quick))
        eventually(lambda: not memory.records["line"].any(), "all are down")
        changes = engine.transitions()
        assert len(changes) > count
        assert not {change.slot: change.up for change in changes}.get(count, True)
        assert {change.slot for change in changes} == set(range(1, count + 1))
        assert engine.transitions() == []
    finally:
        engine.close()


def test_without_a_kernel_part(w: World) -> None:
    """Where no BPF may run: memory of our own, replies by socket."""
    w.create("b")
    memory = Memory.private(16)
    engine = w.at("a", lambda: KeepaliveEngine(memory))
    try:
        made = plan("a", keepalive=FAST)
        session = w.at("a", lambda: session_of(made, Seat(3, True, False)))
        assert session.mode == "socket"
        w.at("a", lambda: engine.add(3, session))
        eventually(lambda: memory.records["received"][3] >= 3, "replies")
        silence(w, True)
        assert select.select([engine], [], [], PATIENCE_S)[0]
        assert [change.up for change in engine.transitions()] == [False]
    finally:
        engine.close()


def test_what_cannot_be_sent_is_not_answered(w: World) -> None:
    w.tunnel()
    with watching(w) as watch:
        slot = watch.add(FAST)
        eventually(lambda: watch.record(slot)["received"] >= 1, "replies")
        w.ip("a", "link set ua down")
        assert not watch.change().up
        record = watch.record(slot)
        assert record["send_errors"] >= FAST.retries
        assert os.strerror(int(record["last_error"])) == "Network is unreachable"
