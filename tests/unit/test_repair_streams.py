"""What a sender sends and a receiver hands over; each in Python and in C, which must not differ."""

import ctypes as c
import random

import pytest

from bongsu.protocol.repair import packet as wire
from bongsu.protocol.repair.choice import TARGET, Loss, choose, depth_within, needed, residual
from bongsu.protocol.repair.packet import (
    OVERHEAD,
    Header,
    RefusedError,
    Report,
    Trailer,
    Type,
    opened,
    sealed,
)
from bongsu.protocol.repair.receiver import Receiver
from bongsu.protocol.repair.sender import Sender
from bongsu.system.repair import library
from bongsu.system.repair.engine import repair_key
from tests.unit.repair_streams import UP, CReceiver, CSender, mode, relayed, sizes

KEY = repair_key(b"a secret of sixteen bytes at least")


class Python:
    """The specification with the C side's face: packets without a tag."""

    def __init__(self, header: Header = UP, delay_us: int = 0) -> None:
        self.receiver = Receiver(header, delay_us)

    def take(self, packet: bytes, now: int) -> list[bytes]:
        trailer = Trailer.unpack(packet + bytes(8))
        return self.receiver.take(packet[:-12], trailer, now)


def clean(count: int = 10**6) -> Report:
    """Nothing was lost."""
    return Report(count - 1, count, 0, 0, (0,) * 5, 0, 0)


def test_layout() -> None:
    size = sizes()
    assert size["peer"] == c.sizeof(library.PeerConfig)
    assert size["mode"] == c.sizeof(library.Mode)
    assert size["sent"] == library.SENT.itemsize
    assert size["received"] == library.RECEIVED.itemsize
    assert size["peer_row"] == library.PEER.itemsize
    assert size["counts"] == 8 * len(library.COUNTS)


def test_key_is_the_specifications() -> None:
    assert repair_key(b"secret") == wire.repair_key(b"secret")
    assert len(KEY) == 16


@pytest.mark.parametrize("made", [Sender, CSender])
def test_data_leaves_at_once_and_parity_when_the_block_is_full(made: type) -> None:
    sender = made(UP, 7, mode(block=4, overhead_percent=50), 0)
    packets = [relayed(UP, 100 + n, n) for n in range(4)]
    sent = [sender.put(packet, n * 100) for n, packet in enumerate(packets)]
    assert [len(each) for each in sent] == [1, 1, 1, 3]
    for number, packet in enumerate(packets):
        assert sent[number][0] == packet + Trailer(7, number, Type.DATA).pack()
    for row, parity in enumerate(sent[3][1:]):
        header, symbol, trailer = opened(sealed(parity, KEY), KEY)
        assert header == UP
        assert trailer == Trailer(7, 0, Type.PARITY, row, 4, 1)
        # as long as the longest packet, but for the two bytes of its length
        assert len(symbol) == 2 + len(packets[3]) - wire.COMMON
        assert len(sealed(parity, KEY)) == len(packets[3]) + OVERHEAD


@pytest.mark.parametrize("made", [Sender, CSender])
def test_time_closes_a_block(made: type) -> None:
    sender = made(UP, 7, mode(block=4, overhead_percent=100, delay_ms=16), 1000)
    sender.put(relayed(UP, 100), 1000)
    assert sender.tick(1000 + 13_999) == []
    (parity,) = sender.tick(1000 + 14_000)
    assert Trailer.unpack(parity + bytes(8)).count == 1


@pytest.mark.parametrize("made", [Sender, CSender])
def test_overhead_holds_for_blocks_cut_short(made: type) -> None:
    sender = made(UP, 7, mode(block=20, overhead_percent=25), 0)
    parities = 0
    for number in range(400):
        # three packets to a block, which 25 % of is less than one
        sender.put(relayed(UP, 80, number), number * 6000)
        parities += len(sender.tick(number * 6000 + 5999)) if number % 3 == 2 else 0
        parities += len(sender.tick(number * 6000 + 17_500)) if number % 3 == 2 else 0
    assert 90 <= parities <= 100


@pytest.mark.parametrize("made", [Sender, CSender])
def test_a_path_without_loss_costs_nothing(made: type) -> None:
    sender = made(UP, 7, mode(), 0)
    for number in range(6000):
        sender.put(relayed(UP, 44), number)
    sender.report(7, clean(6000), 6000)
    # the group that is open keeps what it had; the one after has none
    sent = [sender.put(relayed(UP, 44), 6001 + n) for n in range(60)]
    assert sum(map(len, sent[20:])) == 40


@pytest.mark.parametrize("made", [Sender, CSender])
def test_long_packets_go_bare(made: type) -> None:
    sender = made(UP, 7, mode(block=4, overhead_percent=50), 0)
    sender.put(relayed(UP, 100), 0)
    # what is open is closed, since numbers of a block have no holes; one packet earned half a parity
    (only,) = sender.put(relayed(UP, 2001), 1)
    assert Trailer.unpack(only + bytes(8)) == Trailer(7, 1, Type.PLAIN)
    (fits,) = sender.put(relayed(UP, 2000), 2)
    assert Trailer.unpack(fits + bytes(8)).type is Type.DATA


@pytest.mark.parametrize("made", [Sender, CSender])
def test_who_forgot_its_epoch_is_told(made: type) -> None:
    sender = made(UP, 3, mode(), 0)
    sender.put(relayed(UP, 44), 0)
    sender.report(9, clean(), 1)
    assert Trailer.unpack(sender.put(relayed(UP, 44), 2)[0] + bytes(8)).epoch == 10
    sender.report(5, clean(), 3)
    assert Trailer.unpack(sender.put(relayed(UP, 44), 4)[0] + bytes(8)).epoch == 10


@pytest.mark.parametrize("made", [Sender, CSender])
def test_old_reports_are_not_believed(made: type) -> None:
    def rows(of: list[bytes]) -> int:
        return len(of) - 1

    sender = made(UP, 7, mode(block=10, overhead_percent=50), 0)
    for number in range(1000):
        sender.put(relayed(UP, 44), number)
    bad = Report(899, 900, 90, 81, (9, 9, 9, 9, 9), 0, 0)
    sender.report(7, bad, 1000)
    worst = [rows(sender.put(relayed(UP, 44), 1001 + n)) for n in range(20)][-1]
    assert worst >= 4
    # replayed from before: it does not help
    sender.report(7, Report(500, 500, 0, 0, (0,) * 5, 0, 0), 1100)
    assert [rows(sender.put(relayed(UP, 44), 1201 + n)) for n in range(20)][-1] == worst


@pytest.mark.parametrize("made", [Sender, CSender])
def test_a_receiver_that_was_lied_to_is_told(made: type) -> None:
    sender = made(UP, 7, mode(), 0)
    sender.put(relayed(UP, 44), 0)
    # it heard of a packet that was never sent; the numbers we are at would be old to it
    sender.report(7, Report(500_000, 1, 0, 0, (0,) * 5, 0, 0), 1)
    assert Trailer.unpack(sender.put(relayed(UP, 44), 2)[0] + bytes(8)).epoch == 8


def receivers(delay_us: int = 0) -> list[Python | CReceiver]:
    return [Python(delay_us=delay_us), CReceiver(UP, delay_us)]


def flow(count: int, block: int = 10, overhead: int = 30) -> tuple[list[bytes], list[bytes]]:
    """Relayed packets, and all that is sent for them."""
    sender = Sender(UP, 7, mode(block=block, overhead_percent=overhead), 0)
    packets = [relayed(UP, 60 + n % 7, n) for n in range(count)]
    return packets, [each for n, packet in enumerate(packets) for each in sender.put(packet, n)]


@pytest.mark.parametrize("which", [0, 1])
def test_in_order_each_is_handed_over_as_it_comes(which: int) -> None:
    receiver = receivers()[which]
    packets, sent = flow(40)
    out = [receiver.take(packet, 0) for packet in sent]
    data = [each for packet, each in zip(sent, out, strict=True) if Type(packet[-4]) is Type.DATA]
    assert data == [[packet] for packet in packets]
    assert sum(map(len, out)) == 40


@pytest.mark.parametrize("which", [0, 1])
def test_as_many_losses_as_parities(which: int) -> None:
    receiver = receivers()[which]
    packets, sent = flow(10)
    assert len(sent) == 13
    out = [receiver.take(sent[n], n) for n in (0, 2, 3, 5, 6, 7, 9, 10, 11)]
    # two parities for three losses are not enough, and nothing waits for them
    assert [len(each) for each in out] == [1] * 7 + [0, 0]
    assert receiver.take(sent[12], 12) == [packets[1], packets[4], packets[8]]
    # what comes after its repair comes once only
    assert receiver.take(sent[4], 13) == []


@pytest.mark.parametrize("which", [0, 1])
def test_parity_before_its_data(which: int) -> None:
    receiver = receivers()[which]
    packets, sent = flow(10)
    # the first packet tells where the stream begins; one parity stands for the other nine's last
    receiver.take(sent[0], 0)
    assert receiver.take(sent[10], 1) == []
    for number in range(1, 9):
        got = receiver.take(sent[number], 2)
        assert got == ([packets[number]] if number < 8 else [packets[8], packets[9]])


@pytest.mark.parametrize("which", [0, 1])
def test_copies_and_replays_are_dropped(which: int) -> None:
    receiver = receivers()[which]
    packets, sent = flow(5)
    assert [receiver.take(each, 0) for each in sent] == [[packet] for packet in packets]
    assert [receiver.take(each, 0) for each in sent] == [[]] * 5


@pytest.mark.parametrize("which", [0, 1])
def test_what_can_be_no_relayed_packet_is_not_handed_over(which: int) -> None:
    receiver = receivers()[which]
    trailer = Trailer(7, 0, Type.PLAIN).pack()
    assert receiver.take(relayed(UP, 44)[:43] + trailer, 0) == []
    assert receiver.take(relayed(UP, 9217) + trailer, 0) == []
    assert receiver.take(relayed(UP, 9216) + trailer, 0)


@pytest.mark.parametrize("which", [0, 1])
def test_a_parity_twice_is_one(which: int) -> None:
    receiver = receivers()[which]
    packets, sent = flow(10)
    for number in (0, 1, 2, 5, 6, 7, 8, 9, 10, 10, 10):
        receiver.take(sent[number], 0)
    assert receiver.take(sent[12], 0) == packets[3:5]


@pytest.mark.parametrize("which", [0, 1])
def test_beyond_the_window_and_of_an_older_epoch(which: int) -> None:
    receiver = receivers()[which]
    packet = relayed(UP, 60)
    assert receiver.take(packet + Trailer(7, 5000, Type.PLAIN).pack(), 0)
    assert receiver.take(packet + Trailer(7, 5000 - 4095, Type.PLAIN).pack(), 0)
    assert not receiver.take(packet + Trailer(7, 5000 - 4096, Type.PLAIN).pack(), 0)
    assert not receiver.take(packet + Trailer(6, 5001, Type.PLAIN).pack(), 0)
    assert receiver.take(packet + Trailer(8, 1, Type.PLAIN).pack(), 0)
    assert not receiver.take(packet + Trailer(7, 5001, Type.PLAIN).pack(), 0)


def test_numbers_go_round() -> None:
    packet = relayed(UP, 60)
    for receiver in receivers():
        for number in range(2**32 - 50, 2**32 + 50):
            trailer = Trailer(7, number % 2**32, Type.PLAIN)
            assert receiver.take(packet + trailer.pack(), 0)


def test_losses_are_counted_as_they_lie() -> None:
    python, compiled = Python(), CReceiver(UP)
    packet = relayed(UP, 60)
    lost = {10, 11, 12, 20, 40, 44}
    for number in range(200):
        if number not in lost:
            made = packet + Trailer(7, number, Type.PLAIN).pack()
            python.take(made, number)
            compiled.take(made, number)
    python.receiver.settle()
    compiled.settle()
    report = python.receiver.report()
    assert (report.judged, report.lost, report.runs) == (200, 6, 4)
    assert report.pairs == (2, 1, 1, 1, 0)
    assert compiled.report()[wire.COMMON : -12] == report.pack()


def test_late_is_counted_from_when_it_was_missed() -> None:
    packets, sent = flow(10)
    for receiver in receivers(delay_us=1000):
        for number in (0, *range(2, 10)):
            receiver.take(sent[number], 100)
        assert receiver.take(sent[10], 1101) == [packets[1]]
        if isinstance(receiver, Python):
            assert receiver.receiver.received.late == 1
        else:
            assert Report.unpack(receiver.report()[wire.COMMON : -12]).late == 1


def test_memory_comes_back() -> None:
    with CReceiver(UP, pool=4096) as receiver:
        _, sent = flow(3000)
        noise = random.Random(3)
        for number, each in enumerate(sent):
            if noise.random() > 0.2:
                receiver.take(each, number)
        assert 4096 - receiver.left <= 2048 + 64 * 3
        receiver.clear()
        assert receiver.left == 4096


def test_without_memory_everything_still_arrives_once() -> None:
    with CReceiver(UP, pool=3) as receiver:
        packets, sent = flow(100)
        out = [packet for each in sent for packet in receiver.take(each, 0)]
        assert out == packets


def test_what_the_tag_covers() -> None:
    packet = sealed(relayed(UP, 60) + Trailer(7, 1, Type.PLAIN).pack(), KEY)
    opened(packet, KEY)
    for at in range(len(packet)):
        changed = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
        if at == 2:
            # hops: whoever passes it on counts them
            opened(changed, KEY)
        else:
            with pytest.raises(RefusedError):
                opened(changed, KEY)


def test_model_of_what_is_left() -> None:
    # by hand: a packet alone, its parity its copy; lost if both are
    assert residual(1, 1, 0.1, 0.1) == pytest.approx(0.01)
    assert residual(1, 1, 0.1, 0.9) == pytest.approx(0.09)
    assert residual(5, 0, 0.2, 0.2) == pytest.approx(0.2)
    # the figure that is measured for 20:5 at 5 %: 0.03 %
    assert residual(20, 5, 0.05, 0.05) == pytest.approx(3.0e-4, rel=0.01)


def test_parity_follows_loss() -> None:
    needs = [needed(20, 20, share, share) for share in (0.0, 0.001, 0.01, 0.02, 0.05, 0.1)]
    assert needs == sorted(needs)
    assert needs[0] == 0 < needs[1]
    assert residual(20, needs[3], 0.02, 0.02) <= TARGET
    assert needed(20, 5, 0.3, 0.3) == 5


def test_bursts_are_spread_and_single_losses_are_not() -> None:
    alone = Loss(20_000, 200, (2, 2, 2, 2, 2))
    burst = Loss(20_000, 200, (150, 110, 60, 20, 2))
    assert choose(20, 5, 16, alone, alone).depth == 1
    assert choose(20, 5, 16, burst, burst).depth >= 4
    assert choose(20, 5, 2, burst, burst).depth <= 2
    assert choose(20, 5, 16, Loss(), Loss()).rows == 5


def test_depth_stays_within_the_delay() -> None:
    # 10,000 packets a second for a second, a group of 17.5 ms: 175 packets
    assert depth_within(20, 10_000, 20_000, 10**6) == 8
    assert depth_within(20, 500, 20_000, 10**6) == 1
    assert depth_within(20, 0, 20_000, 10**6) == 1
    assert depth_within(2, 10_000, 20_000, 10**6) == 16
