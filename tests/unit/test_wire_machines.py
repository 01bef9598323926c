"""The two ends of the stream, event by event."""

import pytest

from bongsu.wire import bounds, sender
from bongsu.wire.messages import Ack, Batch, Record, Welcome, WireError
from bongsu.wire.receiver import Receiver
from bongsu.wire.sender import Room, Sender, State

WELCOME = Welcome(0, bounds.WINDOW_RECORDS, bounds.WINDOW_BYTES)


def streaming(now: float = 0.0, welcome: Welcome = WELCOME, last: int = 10**6) -> Sender:
    machine = Sender(now, lambda: 1.0)
    machine.begin(now)
    machine.welcome(welcome, last)
    return machine


def test_one_way_through() -> None:
    machine = Sender(5.0, lambda: 1.0)
    assert machine.wants_connection(5.0)
    assert machine.deadline() == 5.0
    machine.begin(5.0)
    assert not machine.wants_connection(5.0)
    assert machine.room() is None
    machine.welcome(Welcome(40, 100, 10**6), 50)
    assert machine.room() == Room(40, 100, bounds.BATCH_BYTES)
    machine.batch(50, 10, 1000, 6.0)
    assert (machine.sent, machine.acked) == (50, 40)
    assert machine.deadline() == 6.0 + sender.ACK_S
    assert machine.ack(Ack(50))
    assert not machine.ack(Ack(50))
    assert machine.acked == 50
    assert machine.deadline() is None


def test_back_off_doubles_to_a_bound_and_ends_with_an_ack() -> None:
    machine = Sender(0.0, lambda: 1.0)
    now = 0.0
    waits = []
    for _ in range(10):
        machine.begin(now)
        waits.append(machine.lost(now))
        assert not machine.wants_connection(now + waits[-1] - 0.001)
        now += waits[-1]
        assert machine.wants_connection(now)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    # A tower that only greets is none that works: the wait goes on growing.
    machine.begin(now)
    machine.welcome(WELCOME, 1)
    assert machine.lost(now) == 60
    now += 60
    machine.begin(now)
    machine.welcome(WELCOME, 1)
    machine.batch(1, 1, 1, now)
    machine.ack(Ack(1))
    assert machine.lost(now) == 0.5


def test_nodes_do_not_come_back_at_once() -> None:
    machine = Sender(0.0, lambda: 0.0)
    machine.begin(0.0)
    assert machine.lost(0.0) == pytest.approx(0.05)


def test_on_purpose_is_no_failure() -> None:
    machine = streaming()
    assert machine.lost(1.0, soon=True) == 0.0
    assert machine.wants_connection(1.0)
    machine.begin(1.0)
    assert machine.lost(1.0) == 0.5


def test_window_of_records() -> None:
    machine = streaming(welcome=Welcome(0, 10, 10**9))
    machine.batch(6, 6, 60, 0.0)
    assert machine.room() == Room(6, 4, bounds.BATCH_BYTES)
    machine.batch(10, 4, 40, 0.0)
    assert machine.room() is None
    machine.ack(Ack(6))
    assert machine.room() == Room(10, 6, bounds.BATCH_BYTES)


def test_window_of_bytes() -> None:
    machine = streaming()
    machine.batch(1, 1, bounds.WINDOW_BYTES - bounds.BATCH_BYTES, 0.0)
    assert machine.room() is None
    machine.ack(Ack(1))
    assert machine.room() is not None


def test_a_tower_with_a_window_of_one_byte_still_gets_something() -> None:
    assert streaming(welcome=Welcome(0, 1, 1)).room() == Room(0, 1, bounds.BATCH_BYTES)


def test_an_ack_in_the_middle_of_a_batch_frees_what_is_before() -> None:
    machine = streaming(welcome=Welcome(0, 10, 10**9))
    machine.batch(5, 5, 5, 0.0)
    machine.batch(10, 5, 5, 0.0)
    machine.ack(Ack(7))
    assert machine.room() == Room(10, 5, bounds.BATCH_BYTES)


def test_dead_paths_are_given_up() -> None:
    machine = Sender(0.0, lambda: 1.0)
    machine.begin(0.0)
    assert machine.overdue(sender.GREETING_S - 0.1) == ""
    assert "welcome" in machine.overdue(sender.GREETING_S)
    machine.welcome(WELCOME, 5)
    assert machine.overdue(10**9) == ""
    machine.batch(5, 5, 5, 100.0)
    assert machine.overdue(100.0 + sender.ACK_S - 0.1) == ""
    assert "acknowledgement" in machine.overdue(100.0 + sender.ACK_S)


def test_what_was_on_the_way_is_sent_again() -> None:
    machine = streaming()
    machine.batch(7, 7, 7, 0.0)
    machine.ack(Ack(3))
    machine.lost(1.0)
    assert machine.sent == 3
    machine.begin(2.0)
    machine.welcome(Welcome(5, 10, 10**6), 7)
    room = machine.room()
    assert room is not None
    assert room.after == 5


def test_the_tower_can_be_wrong() -> None:
    machine = Sender(0.0, lambda: 1.0)
    with pytest.raises(WireError, match="not while waiting"):
        machine.welcome(WELCOME, 1)
    machine.begin(0.0)
    with pytest.raises(WireError, match="not while greeting"):
        machine.ack(Ack(1))
    with pytest.raises(WireError, match="has 9 records of this spool, which has 8"):
        machine.welcome(Welcome(9, 1, 1), 8)
    assert machine.state is State.GREETING
    machine.welcome(WELCOME, 8)
    with pytest.raises(WireError, match="5, 0 is the last one sent"):
        machine.ack(Ack(5))


def batch(after: int, *sequences: int, body: bytes = b"x") -> Batch:
    return Batch(after, tuple(Record(each, body) for each in sequences))


def test_the_receiver_counts_what_is_left_out() -> None:
    receiver = Receiver(10)
    first = receiver.batch(batch(10, 11, 12))
    second = receiver.batch(batch(12, 15, 20))
    assert (first.missing, second.missing) == (0, 6)
    assert (receiver.received, receiver.kept) == (20, 10)
    assert receiver.durable(first) == Ack(12)
    assert receiver.durable(second) == Ack(20)
    assert receiver.kept == 20


def test_what_has_come_is_not_taken_again() -> None:
    receiver = Receiver(10)
    receiver.batch(batch(10, 11, 12))
    again = receiver.batch(batch(10, 11, 12, 14))
    assert [each.sequence for each in again.records] == [14]
    assert again.missing == 1
    assert receiver.batch(batch(9, 10, 11)).records == ()


def test_a_gap_between_batches_is_refused() -> None:
    receiver = Receiver(10)
    with pytest.raises(WireError, match="after 11, 10 is the last"):
        receiver.batch(batch(11, 12))
    assert receiver.received == 10


def test_a_window_that_is_not_kept_to_is_refused() -> None:
    receiver = Receiver(0)
    receiver.batch(batch(0, 1, body=bytes(bounds.WINDOW_BYTES)))
    with pytest.raises(WireError, match="allowed"):
        receiver.batch(batch(1, 2))
    receiver = Receiver(0)
    taken = receiver.batch(batch(0, *range(1, bounds.WINDOW_RECORDS + 1)))
    with pytest.raises(WireError, match="allowed"):
        receiver.batch(batch(bounds.WINDOW_RECORDS, bounds.WINDOW_RECORDS + 1))
    receiver.durable(taken)
    receiver.batch(batch(bounds.WINDOW_RECORDS, bounds.WINDOW_RECORDS + 1))
