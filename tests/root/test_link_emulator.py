"""The link emulator: what it does to frames, and what becomes of it and its interfaces."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pyroute2 import IPRoute

from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkError, LinkSpec, mac
from bongsu.model.lab import Impairment
from bongsu.system import netns
from tests.root.link_wire import Port, eventually, namespaces, numbered

pytestmark = pytest.mark.root


class Bench(NamedTuple):
    """One link between two namespaces."""

    emulator: Emulator
    spec: LinkSpec
    a: Port
    b: Port
    state_dir: Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with namespaces("a", "b") as (a, b):
        emulator = Emulator.start(tmp_path)
        try:
            spec = LinkSpec("wan", a, "up0", b, "up1", mtu=1400)
            emulator.create([spec])
            yield Bench(emulator, spec, Port(a, "up0"), Port(b, "up1"), tmp_path)
        finally:
            emulator.close()
            Emulator.end(tmp_path)


def test_frames_cross_unchanged_both_ways(bench: Bench) -> None:
    for source, target in ((bench.a, bench.b), (bench.b, bench.a)):
        payloads = [os.urandom(size) for size in (46, 47, 100, 512, 1399, 1400)]
        for payload in payloads:
            source.send(payload)
        assert target.receive_count(len(payloads)) == payloads


def test_interfaces_are_as_specified(bench: Bench) -> None:
    for port, end in ((bench.a, "a"), (bench.b, "b")):
        link = port.link()
        assert link.get("address") == mac("wan", end)
        assert link.get("mtu") == 1400
        assert port.carrier


def test_a_frame_longer_than_the_wire_is_lost(bench: Bench) -> None:
    bench.a.set(mtu=1500)
    bench.a.send(bytes(1401))
    bench.a.send(b"next" + bytes(96))
    assert bench.b.receive_all()[0][:4] == b"next"
    assert bench.emulator.stats("wan").ab.too_long == 1


def test_jumbo_frames(bench: Bench) -> None:
    bench.emulator.create(
        [LinkSpec("jumbo", bench.spec.a_ns, "j0", bench.spec.b_ns, "j1", mtu=9000)]
    )
    a, b = Port(bench.spec.a_ns, "j0"), Port(bench.spec.b_ns, "j1")
    payloads = [os.urandom(9000) for _ in range(200)]
    for payload in payloads:
        a.send(payload)
    assert b.receive_count(200) == payloads


def test_no_frame_is_early(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=40))
    for source, target in ((bench.a, bench.b), (bench.b, bench.a)):
        before = time.monotonic_ns()
        source.send(bytes(100))
        assert target.receive() is not None
        assert time.monotonic_ns() - before >= 40_000_000


def test_jitter_never_reorders(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=20, jitter_ms=15))
    payloads = numbered(600)
    for payload in payloads:
        bench.a.send(payload)
        time.sleep(0.0002)
    assert bench.b.receive_count(600) == payloads


def test_a_shorter_delay_holds_for_frames_in_flight(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=10000))
    for payload in numbered(3):
        bench.a.send(payload)
    assert eventually(lambda: bench.emulator.stats("wan").ab.in_flight == 3)
    bench.emulator.set("wan", Impairment())
    # well before their first time would have come
    assert [bench.b.receive(2) for _ in range(3)] == numbered(3)


def test_many_frames_in_flight_come_in_order(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=300))
    payloads = numbered(3000, 600)
    for index, payload in enumerate(payloads):
        bench.a.send(payload)
        if index % 200 == 0:
            time.sleep(0.002)
    assert bench.b.receive_count(3000) == payloads
    assert bench.emulator.stats("wan").ab.overflow == 0


def test_loss_is_the_share_that_was_set_and_repeats_exactly(bench: Bench, tmp_path: Path) -> None:
    def pattern(emulator: Emulator, spec: LinkSpec) -> list[bytes]:
        a, b = Port(spec.a_ns, spec.a_if), Port(spec.b_ns, spec.b_if)
        for index, payload in enumerate(numbered(2000)):
            a.send(payload)
            if index % 200 == 0:
                time.sleep(0.002)
        return b.receive_all()

    again = LinkSpec(
        "loss", bench.spec.a_ns, "l0", bench.spec.b_ns, "l1", impairment=Impairment(loss=0.1)
    )
    patterns = []
    for _ in range(2):
        bench.emulator.create([again])
        patterns.append(pattern(bench.emulator, again))
        stats = bench.emulator.stats("loss").ab
        assert (stats.rx, stats.lost + stats.tx) == (2000, 2000)
        bench.emulator.remove(["loss"])
    assert patterns[0] == patterns[1]
    # Five standard deviations of 2,000 draws; the seed is fixed, so it is this or never.
    assert abs(len(patterns[0]) - 1800) < 5 * (2000 * 0.1 * 0.9) ** 0.5


def test_total_loss_and_none(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(loss=1))
    for payload in numbered(50):
        bench.a.send(payload)
    assert bench.b.receive_all() == []
    bench.emulator.set("wan", Impairment(loss=0))
    for payload in numbered(50):
        bench.a.send(payload)
    assert bench.b.receive_count(50) == numbered(50)


def test_rate_is_not_exceeded(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(rate_mbps=10))
    payloads = numbered(40, 1236)  # 1250 bytes with the header: 1 ms each
    before = time.monotonic_ns()
    for payload in payloads:
        bench.a.send(payload)
    assert bench.b.receive_count(40) == payloads
    assert time.monotonic_ns() - before >= 40_000_000


def test_what_would_wait_too_long_for_the_rate_is_dropped(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(rate_mbps=1))
    for payload in numbered(100, 1236):  # 10 ms each, 1 s together
        bench.a.send(payload)
    received = bench.b.receive_all(0.5)
    assert received == numbered(100, 1236)[: len(received)]
    stats = bench.emulator.stats("wan").ab
    assert 10 <= len(received) <= 20
    assert stats.queue_full + stats.tx == stats.rx


def test_down_takes_the_carrier_at_both_ends_and_what_is_in_flight(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=200))
    bench.a.send(bytes(100))
    assert eventually(lambda: bench.emulator.stats("wan").ab.in_flight > 0)
    bench.emulator.down("wan")
    assert not bench.a.carrier
    assert not bench.b.carrier
    assert bench.emulator.stats("wan").down
    assert bench.b.receive(0.4) is None
    bench.emulator.set("wan", Impairment())
    bench.emulator.up("wan")
    assert bench.a.carrier
    assert bench.b.carrier
    bench.a.send(b"back" + bytes(96))
    assert (bench.b.receive() or b"")[:4] == b"back"


@pytest.mark.parametrize("direction", ["both", "a->b", "b->a"])
def test_silence_is_not_told_to_anyone(bench: Bench, direction: str) -> None:
    silent = {"both": (True, True), "a->b": (True, False), "b->a": (False, True)}[direction]
    before = time.monotonic_ns()
    at = bench.emulator.silence("wan", True, direction)  # type: ignore[arg-type]
    assert before <= at <= time.monotonic_ns()
    ways = ((bench.a, bench.b, silent[0]), (bench.b, bench.a, silent[1]))
    for source, target, quiet in ways:
        for payload in numbered(100):
            source.send(payload)  # raises ENOBUFS if the loss were told to the sender
        assert target.receive_all() == ([] if quiet else numbered(100))
        assert source.carrier
    stats = bench.emulator.stats("wan")
    assert (stats.ab.silent, stats.ba.silent) == silent
    assert (stats.ab.silenced >= 100, stats.ba.silenced >= 100) == silent
    bench.emulator.silence("wan", False, direction)  # type: ignore[arg-type]
    for source, target, _ in ways:
        source.send(bytes(100))
        assert target.receive() == bytes(100)


def test_silence_also_loses_what_is_in_flight(bench: Bench) -> None:
    bench.emulator.set("wan", Impairment(delay_ms=150))
    bench.a.send(bytes(100))
    assert eventually(lambda: bench.emulator.stats("wan").ab.in_flight > 0)
    bench.emulator.silence("wan", True)
    bench.emulator.silence("wan", False)
    assert bench.b.receive(0.4) is None


def test_a_receiver_that_is_down_is_counted(bench: Bench) -> None:
    bench.b.set(state="down")
    for payload in numbered(5):
        bench.a.send(payload)
    assert eventually(lambda: bench.emulator.stats("wan").ab.refused >= 5)


def test_another_process_finds_it(bench: Bench) -> None:
    other = Emulator.connect(bench.state_dir)
    assert other.pid == bench.emulator.pid
    assert other.links() == ["wan"]
    other.close()
    assert bench.emulator.links() == ["wan"]


def test_a_second_one_in_the_same_place_is_refused(bench: Bench) -> None:
    with pytest.raises(LinkError, match="runs already"):
        Emulator.start(bench.state_dir)
    assert bench.emulator.links() == ["wan"]


def test_a_killed_one_leaves_nothing_that_stops_the_next(bench: Bench) -> None:
    os.kill(bench.emulator.pid, signal.SIGKILL)
    assert eventually(lambda: not Emulator.running(bench.state_dir))
    assert eventually(lambda: bench.a.link() is None and bench.b.link() is None)
    with pytest.raises(LinkError, match="emulator"):
        bench.emulator.links()
    with pytest.raises(LinkError, match="no link emulator answers"):
        Emulator.connect(bench.state_dir)
    again = Emulator.start(bench.state_dir)
    again.create([bench.spec])
    assert again.links() == ["wan"]
    again.quit()
    assert not Emulator.running(bench.state_dir)
    assert [path.name for path in bench.state_dir.iterdir()] == ["emulator.log"]


def test_end_is_right_in_every_state(bench: Bench, tmp_path: Path) -> None:
    Emulator.end(bench.state_dir)
    assert list(bench.state_dir.iterdir()) == []
    Emulator.end(bench.state_dir)
    Emulator.end(tmp_path / "never")


def test_side_by_side(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("other")
    with namespaces("c", "d") as (c, d):
        other = Emulator.start(place)
        try:
            other.create([LinkSpec("wan", c, "up0", d, "up1", mtu=1400)])
            one, two = Port(c, "up0"), Port(d, "up1")
            other.silence("wan", True)
            bench.a.send(b"mine" + bytes(96))
            one.send(b"lost" + bytes(96))
            assert (bench.b.receive() or b"")[:4] == b"mine"
            assert two.receive_all() == []
            other.quit()
            bench.a.send(bytes(100))
            assert bench.b.receive() == bytes(100)
        finally:
            other.close()
            Emulator.end(place)


def test_all_links_or_none(bench: Bench) -> None:
    a, b = bench.spec.a_ns, bench.spec.b_ns
    good = LinkSpec("one", a, "x0", b, "x0")
    for bad in (
        LinkSpec("two", a, "x1", "bst-links-nowhere", "x1"),
        LinkSpec("two", a, "up0", b, "x1"),  # the interface is there
        LinkSpec("wan", a, "x1", b, "x1"),  # the link is there
    ):
        with pytest.raises(LinkError):
            bench.emulator.create([good, bad])
        assert bench.emulator.links() == ["wan"]
        assert eventually(lambda: _interfaces(a) == ["lo", "up0"])
    bench.emulator.create([good])
    assert bench.emulator.links() == ["one", "wan"]


def test_removed_links_take_their_interfaces_along(bench: Bench) -> None:
    bench.emulator.remove(["wan", "never"])
    assert bench.emulator.links() == []
    assert eventually(lambda: bench.a.link() is None and bench.b.link() is None)
    bench.emulator.create([bench.spec])
    a, b = Port(bench.spec.a_ns, "up0"), Port(bench.spec.b_ns, "up1")
    a.send(bytes(100))
    assert b.receive() == bytes(100)


def test_a_namespace_removed_under_it_ends_and_the_far_end_sees_it(bench: Bench) -> None:
    with namespaces("witness") as (witness,):
        fd = netns.open_fd(bench.spec.b_ns)
        with netns.in_netns(witness), IPRoute() as ip:
            ip.link("add", ifname="w0", kind="veth", peer={"ifname": "w1", "net_ns_fd": fd})
        os.close(fd)
        bench.b.socket.close()
        netns.remove(bench.spec.b_ns)
        # One end of a veth goes when the other's namespace does, not only its name.
        assert eventually(lambda: _interfaces(witness) == ["lo"])
    assert eventually(lambda: bench.emulator.stats("wan").gone == "b")
    assert not bench.a.carrier
    bench.emulator.up("wan")
    assert not bench.a.carrier
    # It waits; a descriptor that always has an error would keep it busy.
    before = _cpu_ticks(bench.emulator.pid)
    time.sleep(0.3)
    assert _cpu_ticks(bench.emulator.pid) - before < 10
    # The same name again is a new namespace, and gets a new link.
    netns.create(bench.spec.b_ns)
    bench.emulator.remove(["wan"])
    bench.emulator.create([bench.spec])
    a, b = Port(bench.spec.a_ns, "up0"), Port(bench.spec.b_ns, "up1")
    a.send(bytes(100))
    assert b.receive() == bytes(100)
    assert bench.emulator.stats("wan").gone == "-"


def test_a_namespace_made_again_at_once_keeps_its_new_link(bench: Bench) -> None:
    for _ in range(5):
        netns.remove(bench.spec.b_ns)
        netns.create(bench.spec.b_ns)
        bench.emulator.remove(["wan"])
        bench.emulator.create([bench.spec])
        assert bench.emulator.stats("wan").gone == "-"


def test_both_ends_in_one_namespace(bench: Bench) -> None:
    a = bench.spec.a_ns
    bench.emulator.create([LinkSpec("loop", a, "x0", a, "x1")])
    one, two = Port(a, "x0"), Port(a, "x1")
    one.send(bytes(100))
    assert two.receive() == bytes(100)


def _interfaces(namespace: str) -> list[str]:
    with netns.in_netns(namespace):
        return [name for _, name in socket.if_nameindex()]


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
