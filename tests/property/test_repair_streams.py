"""Sender and receiver in C against their specification, over a channel that does what it likes."""

import ctypes as c
import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.model.accelerator import ReedSolomon
from bongsu.protocol.repair.choice import Loss, choose
from bongsu.protocol.repair.packet import COMMON, TRAILER, RefusedError, Report, Trailer, Type
from bongsu.protocol.repair.receiver import Receiver
from bongsu.protocol.repair.sender import Sender
from bongsu.system.repair import library
from tests.unit.repair_streams import UP, CReceiver, CSender, mode, relayed

modes = st.builds(
    mode,
    block=st.sampled_from([2, 3, 5, 20, 64]),
    overhead_percent=st.sampled_from([5, 25, 50, 100]),
    delay_ms=st.sampled_from([1, 5, 20]),
)


@dataclass
class Channel:
    """Loses in bursts, repeats and overtakes."""

    noise: random.Random
    loss: float
    burst: float
    bad: bool = False

    def carry(self, packets: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        for packet in packets:
            if self.bad:
                self.bad = self.noise.random() < self.burst
            else:
                self.bad = self.noise.random() < self.loss
            if self.bad:
                continue
            at = len(out) - (self.noise.randrange(4) if self.noise.random() < 0.05 else 0)
            out.insert(max(0, at), packet)
            if self.noise.random() < 0.02:
                out.append(packet)
        return out


@settings(max_examples=30, deadline=None)
@given(
    how=modes,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.6]),
    burst=st.sampled_from([0.0, 0.5, 0.9]),
    gap=st.sampled_from([10, 300, 4000]),
    # as fast as reports never come, for groups of many blocks
    beat=st.sampled_from([1_000, 100_000]),
)
def test_equal(how: ReedSolomon, seed: int, loss: float, burst: float, gap: int, beat: int) -> None:
    noise = random.Random(seed)
    now = 1_000_000
    one, other = Sender(UP, 9, how, now), CSender(UP, 9, how, now)
    receiver = Receiver(UP, 3000)
    channel = Channel(noise, loss, burst)
    handed: list[bytes] = []
    sent: set[bytes] = set()
    with CReceiver(UP, 3000) as compiled:
        for turn in range(12):
            packets: list[bytes] = []
            for _ in range(noise.randrange(60)):
                now += noise.randrange(2 * gap)
                packet = relayed(
                    UP, noise.choice([44, 60, 200, 1400, 2000, 2001]), noise.randrange(99)
                )
                sent.add(packet)
                theirs = one.put(packet, now)
                assert other.put(packet, now) == theirs
                late = now + noise.randrange(gap)
                closing = one.tick(late)
                assert other.tick(late) == closing
                packets += theirs + closing
            for packet in channel.carry(packets):
                trailer = Trailer.unpack(packet + bytes(8))
                out = receiver.take(packet[: -TRAILER + 8], trailer, now)
                assert compiled.take(packet, now) == out
                handed += out
            if turn % 3 == 2:
                receiver.settle()
                compiled.settle()
            if receiver.epoch is None:
                continue
            report = receiver.report()
            body = compiled.report()[COMMON : -TRAILER + 8]
            assert body == report.pack()
            now += beat
            one.report(receiver.epoch, Report.unpack(body), now)
            other.report(receiver.epoch, report, now)
    # whatever was handed over had been sent
    assert set(handed) <= sent
    assert receiver.received.spoilt == 0


@settings(max_examples=200, deadline=None)
@given(
    block=st.integers(1, 64),
    most=st.integers(1, 64),
    depth=st.integers(1, 16),
    judged=st.integers(0, 100_000),
    share=st.one_of(st.floats(0, 1), st.floats(0, 0.03)),
    near=st.floats(0, 1),
)
def test_choice_equal(
    block: int, most: int, depth: int, judged: int, share: float, near: float
) -> None:
    lost = int(judged * share)
    longer = Loss(judged, lost, tuple(int(lost * near**d) for d in (1, 2, 4, 8, 16)))
    brief = Loss(judged // 10, min(lost, judged // 10), (0,) * 5)

    class CLoss(c.Structure):
        _fields_ = (("judged", c.c_uint32), ("lost", c.c_uint32), ("pairs", c.c_uint32 * 5))

    class CChoice(c.Structure):
        _fields_ = (("rows", c.c_uint32), ("depth", c.c_uint32), ("residual", c.c_double))

    def made(loss: Loss) -> CLoss:
        return CLoss(loss.judged, loss.lost, (c.c_uint32 * 5)(*loss.pairs))

    out = CChoice()
    library.lib().rp_choose(
        block, most, depth, c.byref(made(brief)), c.byref(made(longer)), c.byref(out)
    )
    theirs = choose(block, most, depth, brief, longer)
    assert (out.rows, out.depth, out.residual) == (theirs.rows, theirs.depth, theirs.residual)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.1, 0.5, 0.9]))
def test_nonsense_with_a_right_tag(seed: int, share: float) -> None:
    """A peer gone mad harms itself alone: no crash, no memory lost, the same for both."""
    noise = random.Random(seed)
    sender = Sender(UP, 9, mode(block=5, overhead_percent=60), 0)
    receiver = Receiver(UP)
    with CReceiver(UP, pool=256) as compiled:
        for number in range(40):
            for packet in sender.put(relayed(UP, 60, number), number):
                kind = noise.randrange(1, 5) if noise.random() < share else 0
                mangled = bytearray(packet)
                if kind == 1:
                    mangled[noise.randrange(COMMON, len(packet))] ^= 1 << noise.randrange(8)
                elif kind == 2:
                    mangled[-8:] = noise.randbytes(4) + packet[-4:]
                elif kind == 3:
                    mangled[-4:] = bytes([noise.choice([0, 1, 2])]) + noise.randbytes(3)
                elif kind == 4:
                    cut = noise.randrange(COMMON, len(packet) - 12)
                    mangled = bytearray(packet[:cut] + packet[-12:])
                raw = bytes(mangled)
                try:
                    trailer = Trailer.unpack(raw + bytes(8))
                except RefusedError:
                    continue
                if trailer.type in (Type.REPORT, Type.HELLO):
                    continue
                assert compiled.take(raw, number) == receiver.take(raw[:-12], trailer, number)
        compiled.clear()
        assert compiled.left == 256
