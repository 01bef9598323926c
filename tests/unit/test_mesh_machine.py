"""A mesh of three and more on a virtual clock: who learns what, who goes where, and at what cost."""

import random

import pytest

from bongsu.model.accelerator import Mesh as Settings
from bongsu.protocol.mesh.machine import BURST, QUICKEST_NS, Mesh
from bongsu.protocol.mesh.packet import Answer, Leg, Probe, State
from bongsu.protocol.mesh.path import Why
from tests.unit.mesh_world import MS, SECOND, Wire, World

A, B, C = 1, 2, 3


def near(a: int, b: int, now: int) -> Wire:
    """All are 10 ms from each other; A and C 30."""
    return 0.0, 30 * MS if {a, b} == {A, C} else 10 * MS


def test_everybody_learns_what_the_others_measured() -> None:
    world = World([A, B, C], near)
    world.run(3)
    told = world.meshes[A].told_legs(world.now)
    assert told[B][C].state is State.ALIVE
    assert told[B][C].rtt_ns == pytest.approx(20 * MS, rel=0.01)
    assert world.meshes[A].figures()[C].p50_ns == pytest.approx(60 * MS, rel=0.01)


def test_the_shorter_way_is_through_a_third() -> None:
    world = World([A, B, C], near)
    world.run(5)
    assert {(node, change.after) for _, node, change in world.changes} == {(A, B), (C, B)}
    assert world.meshes[A].paths()[B].next_hop == B


def test_loss_moves_the_path_and_its_end_brings_it_back() -> None:
    def wire(a: int, b: int, now: int) -> Wire:
        bad = {a, b} == {A, C} and 20 * SECOND < now < 60 * SECOND
        return (0.3 if bad else 0.0), 10 * MS

    world = World([A, B, C], wire)
    world.run(120)
    moves = [(when / SECOND, change) for when, node, change in world.changes if node == A]
    assert [change.after for _, change in moves] == [B, C]
    assert 20 < moves[0][0] < 30
    assert moves[0][1].left is not None
    assert moves[0][1].left.loss > 0
    # the window forgets the loss in 30 s
    assert 60 < moves[1][0] <= 92


def test_among_equals_chance_does_not_lead() -> None:
    """Five PoPs whose ways cost the same but for the luck of each window."""
    chance = random.Random(7)

    def wire(a: int, b: int, now: int) -> Wire:
        direct = {a, b} == {1, 5}
        delay = (18 if direct else 9) + chance.random() * 4
        return (0.01 if direct else 0.003), int(delay * MS)

    world = World([1, 2, 3, 4, 5], wire)
    world.run(300)
    moves = [change for _, node, change in world.changes if (node, change.destination) == (1, 5)]
    # without that allowance there were three times as many
    assert len(moves) <= 3


def test_a_dead_third_is_left_within_a_second_or_so() -> None:
    def wire(a: int, b: int, now: int) -> Wire:
        loss, delay = near(a, b, now)
        return (1.0 if B in (a, b) and now > 20 * SECOND else loss), delay

    world = World([A, B, C], wire)
    world.run(30)
    when, _, change = next(each for each in world.changes if each[1] == A and each[0] > 10 * SECOND)
    assert (change.before, change.after, change.why) == (B, C, Why.DEAD)
    assert when / SECOND < 21.6


def test_a_leg_that_dies_behind_the_third_is_heard_of() -> None:
    def wire(a: int, b: int, now: int) -> Wire:
        loss, delay = near(a, b, now)
        return (1.0 if {a, b} == {B, C} and now > 20 * SECOND else loss), delay

    world = World([A, B, C], wire, Settings(hold_s=25))
    world.run(30)
    when, _, change = next(each for each in world.changes if each[1] == A and each[0] > 10 * SECOND)
    assert (change.before, change.after, change.why) == (B, C, Why.DEAD)
    assert when / SECOND < 22


def test_probes_are_bounded_and_spread() -> None:
    nodes = list(range(1, 31))
    world = World(nodes, lambda *_: (0.0, MS), Settings(interval_ms=20, rate=100))
    assert world.meshes[1].interval_ns == 290 * MS
    busiest = 0
    last = 0

    def check(world: World) -> None:
        nonlocal busiest, last
        busiest = max(busiest, world.sent[1] - last)
        last = world.sent[1]

    world.run(5, check)
    assert world.sent[1] <= 5 * 100 + 29
    assert world.sent[1] > 5 * 95
    # one every 10 ms, not 29 at once
    assert busiest <= 3


def test_after_a_stall_there_is_no_burst() -> None:
    mesh = Mesh(A, Settings(), 5)
    mesh.follow([A, B, C], 0)
    assert len(mesh.poll(60 * SECOND)) == 2
    assert mesh.poll(60 * SECOND + 50 * MS) == []
    assert mesh.wake() is not None


def test_recorded_probes_are_not_answered_again() -> None:
    mesh = Mesh(A, Settings(), 5)
    mesh.follow([B], 0)
    order = [0, 1, 5, 3, 4, 2, 70, 6, 7]
    heard = [mesh.hear(Probe(A, B, 9, n), 100 * MS * at) for at, n in enumerate(order)]
    # 6 is further back than is kept
    assert heard == [True] * 7 + [False, True]
    assert not any(mesh.hear(Probe(A, B, 9, n), SECOND) for n in order)
    # another start of the peer, and the recorded ones of the one before
    assert mesh.hear(Probe(A, B, 10, 0), SECOND)
    assert not mesh.hear(Probe(A, B, 9, 70), SECOND)
    assert mesh.told.again == 11


def test_who_asks_too_often_is_answered_no_more() -> None:
    mesh = Mesh(A, Settings(), 5)
    mesh.follow([B], 0)
    answered = sum(mesh.hear(Probe(A, B, 9, n), n * MS) for n in range(1000))
    assert answered <= BURST + 2 + 1000 * MS // QUICKEST_NS
    assert mesh.told.fast == 1000 - answered


def test_strangers_and_strange_answers_do_not_count() -> None:
    mesh = Mesh(A, Settings(), 5)
    mesh.follow([B, C], 0)
    assert not mesh.hear(Probe(A, 99, 1, 1), 0)
    assert not mesh.hear(Probe(99, B, 1, 1), 0)
    (probe, _) = mesh.poll(SECOND)
    for answer in (
        Answer(99, B, 5, probe.sequence, 0, {}),
        Answer(A, 99, 5, probe.sequence, 0, {}),
        Answer(A, B, 6, probe.sequence, 0, {}),
        Answer(A, B, 5, probe.sequence + 1, 0, {}),
    ):
        assert not mesh.take(answer, SECOND + 1)
    # what B says of nobody's leg, and of its leg to us, is of no use
    vector = {99: Leg(State.ALIVE), A: Leg(State.ALIVE), B: Leg(State.ALIVE)}
    assert mesh.take(Answer(A, B, 5, probe.sequence, 0, vector), SECOND + 1)
    assert mesh.told_legs(SECOND + 1)[B] == {}
    assert not mesh.take(Answer(A, B, 5, probe.sequence, 0, vector), SECOND + 2)


def test_what_is_followed_again_is_kept() -> None:
    world = World([A, B, C], near)
    world.run(5)
    mesh = world.meshes[A]
    before = mesh.figures()
    mesh.follow([B, C], world.now)
    assert mesh.figures() == before
    assert mesh.paths()[C].next_hop == B
    mesh.follow([C], world.now)
    (change,) = mesh.look(world.now + SECOND)
    assert (change.after, change.why) == (C, Why.GONE)


def test_paths_of_an_earlier_run_are_gone_on_with() -> None:
    mesh = Mesh(A, Settings(), 5)
    mesh.follow([B, C], 0, {C: B, B: 99})
    assert {number: path.next_hop for number, path in mesh.paths().items()} == {B: B, C: B}
    # nothing is heard of B's legs yet
    assert mesh.look(SECOND) == []
    assert mesh.paths()[C].next_hop == B
