"""The verdict on a link: every cell of its table, fast down, slow up, and the first cause from below."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.protocol.link import (
    Bgp,
    Cause,
    Config,
    Evidence,
    Layer,
    LinkMachine,
    Probe,
    Verdict,
    judge,
)
from bongsu.protocol.link.evidence import Health
from bongsu.protocol.link.machine import NS, TABLE, Event

GOOD = Evidence(ike="established", esp=True, bgp=Bgp("Established"), probe=Probe(0, 3, True))
WEAK = replace(GOOD, bgp=Bgp("Active"))
BAD = replace(GOOD, esp=False, ike="none")


def test_the_table_is_whole_and_bad_is_always_down() -> None:
    assert set(TABLE) == {(verdict, event) for verdict in Verdict for event in Event}
    assert {TABLE[verdict, Event.BAD] for verdict in Verdict} == {Verdict.DOWN}
    # What has not lasted changes nothing.
    for verdict in Verdict:
        assert TABLE[verdict, Event.WEAK] is verdict
        assert TABLE[verdict, Event.GOOD] is verdict


def test_the_first_rise_is_at_once_and_each_fall_makes_the_next_slower() -> None:
    machine = LinkMachine(0)
    change = machine.look(1 * NS, GOOD)
    assert change is not None
    assert (change.verdict, change.before) == (Verdict.UP, Verdict.DOWN)
    now, holds = 2 * NS, []
    for _ in range(7):
        change = machine.look(now, BAD)
        assert change is not None
        assert change.verdict is Verdict.DOWN
        began = now = now + NS
        while machine.look(now, GOOD) is None:
            now += NS // 10
        holds.append(round((now - began) / NS, 1))
        now += NS
    assert holds == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_long_life_forgives() -> None:
    machine, now = LinkMachine(0), 0
    for _ in range(3):
        machine.look(now, GOOD)
        machine.look(now + 31 * NS, GOOD)
        machine.look(now + 32 * NS, BAD)
        now += 33 * NS
    assert machine.falls == 3
    machine.look(now, GOOD)
    machine.look(now + 31 * NS, GOOD)
    machine.look(now + 120 * NS, BAD)
    assert machine.falls == 1


def test_the_first_rise_settles_at_once_and_later_ones_do_not() -> None:
    machine = LinkMachine(0)
    for now, seen, verdict in (
        (0, WEAK, Verdict.DEGRADED), (1, GOOD, Verdict.UP), (2, BAD, Verdict.DOWN),
        (3, WEAK, Verdict.DOWN), (5, WEAK, Verdict.DEGRADED), (6, GOOD, Verdict.DEGRADED),
        (8, GOOD, Verdict.DEGRADED), (9, GOOD, Verdict.UP),
    ):  # fmt: skip
        machine.look(now * NS, seen)
        assert machine.verdict is verdict, now


def test_a_weak_moment_is_no_news_and_a_weak_while_is() -> None:
    machine = LinkMachine(0)
    machine.look(0, GOOD)
    assert machine.look(1 * NS, WEAK) is None
    assert machine.look(2 * NS, GOOD) is None
    assert machine.look(3 * NS, WEAK) is None
    change = machine.look(7 * NS, WEAK)
    assert change is not None
    assert change.verdict is Verdict.DEGRADED
    assert change.cause == Cause(Layer.BGP, "bgp", "ESP stands, BGP is Active")
    assert machine.look(8 * NS, GOOD) is None
    change = machine.look(11 * NS, GOOD)
    assert change is not None
    assert (change.verdict, change.cause) == (Verdict.UP, None)


def test_who_was_up_before_stays_up() -> None:
    machine = LinkMachine(5, verdict=Verdict.UP)
    assert machine.look(6, GOOD) is None
    assert machine.look(7, BAD) is not None


def test_time_does_not_go_back() -> None:
    machine = LinkMachine(5)
    with pytest.raises(ValueError, match="back"):
        machine.look(4, GOOD)


def test_the_first_cause_from_below_is_told() -> None:
    reason = Cause(Layer.IKE, "psk", "the pre-shared keys differ")
    all_wrong = Evidence(
        underlay="wan has no carrier", daemon=False, unanswered=3, reason=reason,
        probe=Probe(9, 3, True), bgp=Bgp("Active"), interface=False,
    )  # fmt: skip
    steps = [
        (all_wrong, "underlay"),
        (all_wrong := replace(all_wrong, underlay=""), "daemon"),
        (all_wrong := replace(all_wrong, daemon=True), "psk"),
        (all_wrong := replace(all_wrong, reason=None), "no-answer"),
        (all_wrong := replace(all_wrong, unanswered=0), "idle"),
        (all_wrong := replace(all_wrong, ike="connecting"), "connecting"),
        (all_wrong := replace(all_wrong, ike="established"), "no-esp"),
        (all_wrong := replace(all_wrong, esp=True), "interface"),
        (all_wrong := replace(all_wrong, interface=True), "probe"),
        (all_wrong := replace(all_wrong, probe=None), "bgp"),
        (all_wrong := replace(all_wrong, bgp=Bgp("Established", 0)), "no-prefix"),
    ]
    for seen, code in steps:
        cause = judge(seen)[1]
        assert cause is not None
        assert cause.code == code
    order = list(Layer)
    layers = [found.layer for seen, _ in steps if (found := judge(seen)[1]) is not None]
    assert layers == sorted(layers, key=order.index)
    assert judge(replace(all_wrong, bgp=Bgp("Established", 2))) == (Health.GOOD, None)


def test_refused_proposals_are_of_the_phase_that_is_reached() -> None:
    reason = Cause(Layer.IKE, "proposal", "NO_PROPOSAL_CHOSEN")
    found = judge(Evidence(ike="established", reason=reason))[1]
    assert found is not None
    assert (found.layer, found.code) == (Layer.ESP, "esp-proposal")


def test_a_far_end_that_never_answers_echoes_is_not_called_dead() -> None:
    health, cause = judge(replace(GOOD, probe=Probe(99, 3, False)))
    assert health is Health.WEAK
    assert cause is not None
    assert "is echo let through" in cause.text


@pytest.mark.parametrize(
    ("lost", "counted", "weak"), [(2, 100, False), (3, 300, True), (3, 301, False), (0, 0, False)]
)
def test_loss(lost: int, counted: int, weak: bool) -> None:
    seen = replace(GOOD, probe=Probe(0, 3, True, lost, counted))
    assert (judge(seen)[0] is Health.WEAK) is weak


EVIDENCE = st.builds(
    Evidence,
    underlay=st.sampled_from(["", "no route"]),
    daemon=st.booleans(),
    ike=st.sampled_from(["none", "connecting", "established"]),
    esp=st.booleans(),
    unanswered=st.integers(0, 5),
    reason=st.none() | st.just(Cause(Layer.IKE, "psk", "keys")),
    probe=st.none() | st.builds(Probe, st.integers(0, 5), st.just(3), st.booleans()),
    bgp=st.none()
    | st.builds(
        Bgp, st.sampled_from(["Established", "Active", "Idle"]), st.none() | st.integers(0, 2)
    ),
    interface=st.booleans(),
)


@given(st.lists(st.tuples(EVIDENCE, st.integers(0, 10 * NS)), max_size=60))
def test_whatever_happens(history: list[tuple[Evidence, int]]) -> None:
    config = Config()
    machine, now = LinkMachine(0, config), 0
    carries_since: int | None = None
    for seen, later in history:
        now += later
        before, hold = machine.verdict, machine.hold_s
        health, cause = judge(seen)
        if health is Health.BAD:
            carries_since = None
        elif carries_since is None:
            carries_since = now
        change = machine.look(now, seen)
        assert (change is None) == (machine.verdict is before)
        # Fast down: nothing that does not carry is ever up, not for one look.
        assert machine.verdict.carries <= (health is not Health.BAD)
        # Slow up: nothing rises that has not carried for its hold.
        if change is not None and not before.carries:
            assert carries_since is not None
            assert now - carries_since >= hold * NS
        # Whatever is not well has a reason.
        assert (cause is None) == (health is Health.GOOD)
        assert machine.cause == cause
        assert machine.hold_s <= config.most_s
