"""The machine that sends probes and decides what became of them, on a clock of the test's."""

import heapq
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise

import pytest

from bongsu.model.base import Address
from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import (
    IN_FLIGHT,
    MS,
    SECOND,
    TARGET,
    UNKNOWN,
    Machine,
    Outcome,
    Pace,
)
from tests.unit.path_runs import Path, flow, reply

STEPS_MAX = 20_000
R1, R2, R3 = "203.0.113.1", "203.0.113.2", "203.0.113.3"


class World:
    """A machine and a path on one clock."""

    def __init__(self, pace: Pace, routers: list[str | None], **more: int) -> None:
        self.flow = flow()
        self.machine = Machine(self.flow, pace, **more)
        self.path = Path(self.flow, routers)
        self.now = 1000 * SECOND
        self.sent: list[tuple[int, int, int]] = []
        """When, number, hop limit."""
        self.outcomes: list[Outcome] = []
        self._coming: list[tuple[int, int, bytes, Address]] = []

    def run(self, until_s: float = 1e6) -> "World":
        """Until it is finished, or so long after the beginning."""
        end = 1000 * SECOND + round(until_s * SECOND)
        for _ in range(STEPS_MAX):
            if self.machine.finished:
                break
            for probe in self.machine.poll(self.now):
                self.sent.append((self.now, probe.sequence, probe.ttl))
                answer = self.path.answer(probe.sequence, probe.ttl)
                if answer is not None:
                    data, sender, delay = answer
                    heapq.heappush(self._coming, (self.now + delay, probe.sequence, data, sender))
            self.outcomes += self.machine.take()
            wake = self.machine.wake(self.now)
            times = [time for time in (wake, self._coming[0][0] if self._coming else None) if time]
            if not times or min(times) > end:
                self.now = end
                return self
            self.now = max(self.now, min(times))
            while self._coming and self._coming[0][0] <= self.now:
                _, _, data, sender = heapq.heappop(self._coming)
                self.machine.receive(data, sender, self.now)
        assert self.machine.finished, "it never comes to its end"
        self.outcomes += self.machine.take()
        return self

    def of(self, ttl: int) -> list[Outcome]:
        return [each for each in self.outcomes if each.ttl == ttl]


def test_at_mtrs_pace_every_hop_is_asked_in_every_cycle() -> None:
    world = World(Pace(count=5), [R1, R2]).run()
    assert [len(world.of(ttl)) for ttl in (TARGET, 1, 2)] == [5, 5, 5]
    assert {each.rtt_ns for each in world.of(2)} == {10 * MS}
    assert {each.rtt_ns for each in world.of(TARGET)} == {15 * MS}
    assert {each.sender for each in world.of(1)} == {ip_address(R1)}
    assert world.machine.distance == 3


def test_cycles_keep_their_pace() -> None:
    world = World(Pace(interval_ns=10 * MS, count=100), [R1]).run()
    times = [time for time, _, ttl in world.sent if ttl == TARGET]
    assert [b - a for a, b in pairwise(times)] == [10 * MS] * 99


def test_a_fast_run_asks_the_hops_no_more_often() -> None:
    world = World(Pace(interval_ns=MS, count=3000), [R1, R2]).run()
    counts = Counter(each.ttl for each in world.outcomes)
    assert (counts[TARGET], counts[1], counts[2]) == (3000, 3, 3)


def test_a_steady_path_costs_a_packet_for_each_place_on_it() -> None:
    """Nothing more: a Linux target says about once a second that nobody listens on a port."""
    world = World(Pace(count=10), [R1, R2]).run()
    last = [ttl for time, _, ttl in world.sent if time >= 1009 * SECOND]
    assert sorted(last) == [1, 2, 3]


def test_silent_routers_are_passed_over() -> None:
    world = World(Pace(count=3), [R1, None, None, R3]).run()
    assert world.machine.distance == 5
    assert [each.kind for each in world.of(2)] == [Kind.LOST] * 3
    assert [each.kind for each in world.of(4)] == [Kind.EXCEEDED] * 3


def test_behind_too_many_silent_ones_nothing_is_asked() -> None:
    world = World(Pace(count=2), [R1, *[None] * 20]).run()
    assert max(ttl for _, _, ttl in world.sent) == 1 + UNKNOWN
    assert world.machine.distance is None


def test_a_probe_is_lost_when_the_wait_is_over_and_not_before() -> None:
    world = World(Pace(count=1, wait_ns=SECOND), [])
    world.path.target_answers = False
    world.run(0.999)
    assert world.outcomes == []
    world.run(2)
    (lost,) = world.of(TARGET)
    assert (lost.kind, lost.rtt_ns, lost.sender) == (Kind.LOST, -1, None)


def test_the_bound_of_the_wait_itself_still_counts() -> None:
    for delay, kind in ((SECOND, Kind.REPLY), (SECOND + 1, Kind.LOST)):
        machine = Machine(flow(), Pace(count=1, wait_ns=SECOND))
        machine.poll(0)
        machine.receive(reply(machine.flow, 0), machine.flow.target, delay)
        machine.poll(2 * SECOND)
        assert [each.kind for each in machine.take() if each.ttl == TARGET] == [kind]


def test_a_second_answer_counts_nothing() -> None:
    machine = Machine(flow(), Pace(count=1))
    machine.poll(0)
    assert machine.receive(reply(machine.flow, 0), machine.flow.target, MS)
    assert not machine.receive(reply(machine.flow, 0), machine.flow.target, 2 * MS)
    assert machine.told.again == 1
    assert [each.rtt_ns for each in machine.take()] == [MS]


def test_an_answer_to_what_was_never_sent_counts_nothing() -> None:
    machine = Machine(flow(), Pace(count=1))
    machine.poll(0)
    assert not machine.receive(reply(machine.flow, 99), machine.flow.target, MS)
    assert machine.take() == []


def test_a_path_that_grows_loses_no_probe_to_the_target() -> None:
    world = World(Pace(count=10), [R1, R2])
    world.run(4.5)
    assert world.machine.distance == 3
    world.path.routers = [R1, R2, R3, "203.0.113.4"]
    world.run()
    assert world.machine.distance == 5
    assert [each.kind for each in world.of(TARGET)] == [Kind.REPLY] * 10
    # the probe that found it out is one of its third hop
    assert next(each.sender for each in world.of(3) if each.kind is Kind.EXCEEDED) == ip_address(R3)


def test_a_path_that_shrinks() -> None:
    world = World(Pace(count=10), [R1, R2, R3])
    world.run(4.5)
    world.path.routers = [R1]
    world.run()
    assert world.machine.distance == 2
    asked = [ttl for time, _, ttl in world.sent if time > 1008 * SECOND]
    assert max(asked) == 2


def test_a_sender_that_was_held_up_does_not_burst() -> None:
    machine = Machine(flow(), Pace(interval_ns=10 * MS))
    machine.poll(0)
    assert sum(probe.ttl == TARGET for probe in machine.poll(10 * SECOND)) <= 2
    probes = [machine.poll(10 * SECOND + step * 10 * MS) for step in range(1, 4)]
    assert [sum(each.ttl == TARGET for each in some) for some in probes] == [1, 1, 1]


def test_a_sender_that_is_a_little_late_makes_up_for_it() -> None:
    machine = Machine(flow(), Pace(interval_ns=MS))
    machine.poll(0)
    assert sum(probe.ttl == TARGET for probe in machine.poll(5 * MS)) == 5


def test_stop_waits_for_what_is_on_its_way() -> None:
    world = World(Pace(), [R1])
    world.run(2.001)
    world.machine.stop()
    assert not world.machine.finished
    world.run()
    assert [each.kind for each in world.of(TARGET)] == [Kind.REPLY] * 3


def test_a_resumed_run_goes_on_counting() -> None:
    world = World(Pace(count=10), [R1], sequence=500, cycles=7).run()
    assert len(world.of(TARGET)) == 3
    assert min(number for _, number, _ in world.sent) == 500
    assert len(world.of(1)) == 3


def test_nothing_is_done_without_being_asked_again_later() -> None:
    machine = Machine(flow(), Pace(count=1))
    machine.poll(0)
    wake = machine.wake(0)
    assert wake is not None
    for _ in range(100):
        if wake is None:
            break
        before = wake
        machine.poll(wake)
        wake = machine.wake(wake)
        assert wake is None or wake > before
    assert machine.finished


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_ns": MS - 1},
        {"round_ns": 0},
        {"wait_ns": 0},
        {"max_hops": 0},
        {"max_hops": 256},
        {"interval_ns": MS, "wait_ns": (IN_FLIGHT + 1) * MS},
    ],
)
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Pace(**wrong)
