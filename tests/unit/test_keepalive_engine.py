"""The engine's machine in C: what it believes, in which order it serves, what Python mirrors of it."""

import ctypes
import random
from ipaddress import IPv4Address
from typing import Any

import numpy as np
import pytest

from bongsu.protocol.gre_keepalive import identify, slot_of
from bongsu.system.bpf import layout
from bongsu.system.keepalive import library
from tests.unit.keepalive_machine import (
    ACTION,
    FOUR,
    SEND,
    SIX,
    UP,
    Machine,
    session,
    sizes,
)

NOW = 10**12


def refused(machine: Machine, slot: int = 5) -> dict[str, int]:
    counts = machine.records["refused"][slot]
    return {why: int(n) for why, n in zip(layout.REFUSALS, counts, strict=True) if n}


def test_mirrors_have_the_sizes_of_the_compiler() -> None:
    found = sizes()
    assert found["config"] == ctypes.sizeof(library.Config)
    assert found["change"] == library.CHANGE.itemsize
    assert found["line"] == library.LINE.itemsize
    assert found["action"] == ACTION.itemsize
    assert found["session"] == layout.KEEPALIVE.itemsize
    assert found["state"] == layout.STATE.itemsize


@pytest.mark.parametrize("ends", [FOUR, SIX])
def test_a_reply_is_believed_once_and_only_if_all_of_it_is_right(ends: object) -> None:
    assert ends in (FOUR, SIX)
    six = ends is SIX
    here = SIX if six else FOUR
    with Machine() as machine:
        machine.add(5, session(here, nonce=True), NOW)
        (sent,) = machine.step(NOW)
        identification = int(sent["identification"])
        nonce = sent["nonce"].tobytes()
        right = {"ends": here, "rest": nonce}
        assert slot_of(identification) == 0
        assert identification == identify(0, identification >> 5, 6 if six else 4)
        other = identification ^ 32
        assert not machine.judge(other, NOW + 1, **right)
        assert not machine.judge(identification, NOW + 1, ends=here, rest=bytes(8))
        assert not machine.judge(identification, NOW + 1, ends=here)
        assert not machine.judge(identification, NOW + 1, ends=here, rest=nonce + b"\0")
        header = b"\x30\0\0\0" + (b"\0\0\0\7" if six else b"")
        assert not machine.judge(identification, NOW + 1, header=header, **right)
        assert not machine.judge(identification, NOW + 1, header=b"\0\0\0", ends=here)
        assert refused(machine) == {"length": 2, "header": 2, "not_ours": 1, "no_nonce": 1}
        assert machine.judge(identification, NOW + 7, **right)
        assert not machine.judge(identification, NOW + 8, **right)
        assert refused(machine)["replayed"] == 1
        record = machine.records[5]
        assert (record["received"], record["answered"], record["rtt_last"]) == (1, 1, 7)
        # what is between no session's ends is nobody's
        stranger = IPv4Address("198.51.100.9")
        assert not machine.judge(identification, NOW, ends=FOUR, source=stranger)
        assert sum(refused(machine).values()) == 7


def test_two_tunnels_between_the_same_ends_are_told_apart_by_key() -> None:
    from bongsu.protocol.gre_keepalive import Ends

    ends = [Ends(FOUR.local, FOUR.remote, key) for key in (None, 1, 2)]
    with Machine() as machine:
        for slot, each in enumerate(ends, 1):
            machine.add(slot, session(each), NOW)
        sent = {int(a["slot"]): int(a["identification"]) for a in machine.step(NOW + 10**6)}
        for slot in (3, 1, 2):
            assert machine.judge(sent[slot], NOW, ends=ends[slot - 1])
        assert machine.records["received"].tolist()[:5] == [0, 1, 1, 1, 0]
        machine.remove(2)
        assert not machine.judge(sent[2], NOW, ends=ends[1])
        assert machine.records["received"][2] == 1


def test_rtt_is_summed_up() -> None:
    with Machine() as machine:
        machine.add(5, session(), NOW)
        for late, took in enumerate((30, 10, 20)):
            (sent,) = machine.step(NOW + late * 1000)
            assert machine.judge(int(sent["identification"]), NOW + late * 1000 + took)
        record = machine.records[5]
        figures = [int(record[f"rtt_{name}"]) for name in ("last", "min", "max", "sum")]
        assert figures == [20, 10, 30, 60]


def test_sessions_are_spread_over_the_interval_and_served_in_order() -> None:
    count, interval = 300, 100_000_000
    with Machine(count + 1) as machine:
        for slot in range(1, count + 1):
            machine.add(slot, session(interval_ns=interval), NOW)
        firsts = []
        while machine.due < NOW + interval:
            firsts.append(machine.due)
            assert {int(a["what"]) for a in machine.step(machine.due)} == {SEND}
        assert len(firsts) == count
        assert firsts == sorted(firsts)
        gaps = np.diff([*firsts, NOW + interval])
        assert gaps.max() < 3 * interval / count, "no crowd, no hole"


def test_any_session_may_go_at_any_time() -> None:
    chance, here = random.Random(7), set[int]()
    with Machine(100) as machine:
        now = NOW
        for _ in range(2000):
            slot = chance.randrange(1, 100)
            if slot in here:
                assert machine.remove(slot) == 0
                assert machine.remove(slot) < 0
                here.remove(slot)
            else:
                assert machine.add(slot, session(interval_ns=chance.randrange(50, 500)), now) == 0
                assert machine.add(slot, session(), now) < 0
                here.add(slot)
            now += chance.randrange(100)
            served = {int(action["slot"]) for action in machine.step(now)}
            assert served <= here
            assert machine.due > now
        for slot in here:
            machine.remove(slot)
        assert machine.due == 2**64 - 1


def test_what_has_no_room_is_left_for_the_next_call() -> None:
    with Machine(100) as machine:
        for slot in range(1, 100):
            machine.add(slot, session(), NOW)
        turns = 0
        while found := machine.step(NOW + 999, room=16):
            assert len(found) <= 16
            turns += 1
        assert turns == 8
        assert machine.records["sent"].sum() == 99


def test_a_line_that_is_down_is_gone_on_with() -> None:
    with Machine() as machine:
        machine.add(5, session(), NOW, up=False)
        assert machine.states["keepalive_down"][5] == 1
        (sent,) = machine.step(NOW)
        assert sent["what"] == SEND
        assert machine.judge(int(sent["identification"]), NOW + 1)
        (change,) = machine.replied(5, NOW + 1)
        assert change["what"] == UP
        assert machine.states["keepalive_down"][5] == 0
        machine.states["keepalive_down"][5] = 1
        machine.remove(5)
        assert machine.states["keepalive_down"][5] == 0, "nobody would lift it any more"


@pytest.mark.parametrize(
    "changes",
    [{"interval_ns": 0}, {"retries": 0}, {"up_after": 0}, {"inner": 40}, {"payload": b""}],
)
def test_sessions_that_make_no_sense(changes: dict[str, Any]) -> None:
    with Machine() as machine:
        assert machine.add(5, session(**changes), NOW) == -22
        assert machine.add(64, session(), NOW) == -22, "beyond the memory"
        assert machine.due == 2**64 - 1


def test_a_payload_has_a_bound() -> None:
    with pytest.raises(ValueError, match="96 bytes"):
        session(payload=bytes(97)).config(1, True)
