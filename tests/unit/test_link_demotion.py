"""When a tunnel's routes count less: fast to begin, slow to end, the slower the oftener."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bongsu.protocol.link import Cause, Layer, Verdict
from bongsu.protocol.link.demotion import Demotion
from bongsu.protocol.link.machine import NS

UP, WEAK, DOWN = Verdict.UP, Verdict.DEGRADED, Verdict.DOWN
LOSS = Cause(Layer.ESP, "loss", "1.5% of the probes are lost")
NO_BGP = Cause(Layer.BGP, "bgp", "ESP stands, BGP is Active")


def at(demotion: Demotion, second: float, verdict: Verdict, cause: Cause | None = LOSS) -> bool:
    return demotion.look(round(second * NS), verdict, None if verdict is UP else cause)


def test_at_once_and_back_after_a_while_of_up() -> None:
    one = Demotion(0)
    assert not at(one, 0, UP)
    assert at(one, 1, WEAK)
    assert at(one, 2, UP)
    assert at(one, 11.9, UP)
    # What is only short does not count, and neither does what is down.
    assert at(one, 12, DOWN)
    assert at(one, 13, UP)
    assert at(one, 22.9, UP)
    assert not at(one, 23, UP)


def test_the_oftener_the_longer_until_it_is_forgiven() -> None:
    one, now, holds = Demotion(0), 0.0, []
    at(one, 0, UP)
    for _ in range(8):
        now += 1
        assert at(one, now, WEAK)
        began = now = now + 1
        while at(one, now, UP):
            now += 1
        holds.append(now - began)
    assert holds == [10, 20, 40, 60, 60, 60, 60, 60]
    assert at(one, now + 301, WEAK)
    assert one.hold_s == 10


def test_what_bgp_or_the_probe_itself_lacks_is_no_reason() -> None:
    one = Demotion(0)
    at(one, 0, UP)
    assert not at(one, 1, WEAK, NO_BGP)
    assert not at(one, 99, WEAK, Cause(Layer.ROUTE, "no-prefix", ""))
    # Routes come by a session in the tunnel: it carries, and it is echo that is not let through.
    assert not at(one, 99.5, WEAK, Cause(Layer.ESP, "probe-silent", "no probe was ever answered"))
    assert at(one, 100, WEAK, LOSS)
    # Nor is it a time of being well.
    assert at(one, 200, WEAK, NO_BGP)
    assert at(one, 201, UP)
    assert at(one, 210.9, UP)
    assert not at(one, 211, UP)


def test_while_it_begins_not_everything_is_there() -> None:
    one = Demotion(0)
    assert not at(one, 1, WEAK)
    assert not at(one, 2, WEAK)
    assert not at(one, 2.5, UP)
    # As after a fall: what the way up lacks is the verdict's business, not for long.
    again = Demotion(0)
    assert not any((at(again, 0, UP), at(again, 1, DOWN), at(again, 2, WEAK), at(again, 4.9, WEAK)))
    assert not at(again, 5, WEAK, NO_BGP), "another reason, and none of the tunnel's"
    assert not at(again, 6, WEAK)
    assert not at(again, 8.9, WEAK)
    assert at(again, 9, WEAK)
    late = Demotion(0)
    assert not at(late, 1, WEAK)
    assert at(late, 4, WEAK), "never up, and that for a while"


@given(st.integers(0, 2**32))
def test_whatever_happens_it_is_never_lowered_without_a_cause_nor_restored_too_soon(
    seed: int,
) -> None:
    chance = random.Random(seed)
    one, now, up_since = Demotion(0), 0.0, None
    for _ in range(200):
        now += chance.choice((0.2, 1, 5, 30, 400))
        verdict = chance.choice((UP, WEAK, DOWN))
        cause = chance.choice((LOSS, NO_BGP))
        up_since = (now if up_since is None else up_since) if verdict is UP else None
        before = one.weak
        after = at(one, now, verdict, cause)
        if after and not before:
            assert (verdict, cause) == (WEAK, LOSS)
        if before and not after:
            assert up_since is not None
            assert now - up_since >= one.hold_s
            assert 10 <= one.hold_s <= 60
