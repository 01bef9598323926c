"""Nothing that others send is counted, and nothing that they send breaks the machine or a kept file."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import MS, SECOND, TARGET, Machine, Pace
from bongsu.protocol.path.records import ROW
from bongsu.protocol.path.run import RunError, addresses_block, head_block, read_run, rows_block
from bongsu.protocol.path.statistics import hops
from bongsu.system.journal import Journal, JournalError, read_journal
from tests.unit.path_runs import ROUTER, drawn, error, flow, head, on_the_wire, reply
from tests.unit.path_runs import Path as Answers

FAMILIES = st.sampled_from([4, 6])
PROTOCOLS = st.sampled_from(["icmp", "udp"])
SEQUENCES = st.integers(0, 5)


def flying(protocol: str, family: int) -> Machine:
    """A machine with some probes on their way."""
    machine = Machine(flow(protocol, family), Pace(interval_ns=MS))  # type: ignore[arg-type]
    for step in range(30):
        machine.poll(step * MS)
    return machine


@given(PROTOCOLS, FAMILIES, st.binary(max_size=300), st.booleans())
def test_noise_counts_nothing(protocol: str, family: int, data: bytes, from_target: bool) -> None:
    machine = flying(protocol, family)
    sender = machine.flow.target if from_target else ROUTER[family]
    assert not machine.receive(data, sender, 40 * MS)
    assert machine.take() == []


@given(PROTOCOLS, FAMILIES, SEQUENCES, st.binary(max_size=120), st.integers(8, 28))
def test_a_quote_that_was_guessed_counts_nothing(
    protocol: str, family: int, sequence: int, tail: bytes, known: int
) -> None:
    """The forger knows ends, ports and number, but has not seen the probe: its key is another's."""
    machine = flying(protocol, family)
    forged = flow(protocol, family)  # type: ignore[arg-type]
    object.__setattr__(forged, "key", b"other key, 16 by")
    object.__setattr__(forged, "constant", 999)
    start = 20 if family == 4 else 40
    for quote in (
        on_the_wire(forged, sequence),
        on_the_wire(forged, sequence)[: start + known] + tail,
    ):
        assert not machine.receive(error(machine.flow, quote), ROUTER[family], 40 * MS)
    assert not machine.receive(reply(forged, sequence), machine.flow.target, 40 * MS)
    assert machine.take() == []


@given(PROTOCOLS, FAMILIES, SEQUENCES, st.data())
def test_what_was_changed_on_the_way_is_no_answer(
    protocol: str, family: int, sequence: int, data: st.DataObject
) -> None:
    """One bit of number or tag within the quote: it is not believed, or taken for the same probe."""
    machine = flying(protocol, family)
    whole = bytearray(on_the_wire(machine.flow, sequence))
    payload = (20 if family == 4 else 40) + 8
    bit = data.draw(st.integers(payload * 8, (payload + 24) * 8 - 1))
    whole[bit // 8] ^= 1 << (bit % 8)
    assert not machine.receive(error(machine.flow, bytes(whole)), ROUTER[family], 40 * MS)
    assert machine.take() == []


@given(PROTOCOLS, FAMILIES, SEQUENCES, st.integers(0, 400))
def test_an_answer_cut_short_never_breaks_it(
    protocol: str, family: int, sequence: int, length: int
) -> None:
    machine = flying(protocol, family)
    answer = error(machine.flow, on_the_wire(machine.flow, sequence))[:length]
    machine.receive(answer, ROUTER[family], 40 * MS)
    for outcome in machine.take():
        assert outcome.sequence == sequence


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["poll", "answer", "again", "noise", "stop", "grow", "silence"]),
        st.integers(0, 3 * SECOND),
        st.integers(0, 40),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(1, 30), st.sampled_from([MS, 10 * MS, SECOND]))
def test_whatever_happens_every_probe_has_one_fate(
    events: list[tuple[str, int, int]], count: int, interval_ns: int
) -> None:
    one = flow()
    machine = Machine(one, Pace(interval_ns=interval_ns, count=count, wait_ns=SECOND))
    path = Answers(one, ["203.0.113.1", None, "203.0.113.3"])
    now, sent, ended = 0, {}, []
    for event, passed, which in events:
        now += passed
        if event == "poll":
            sent.update({probe.sequence: probe.ttl for probe in machine.poll(now)})
        elif event in ("answer", "again") and sent:
            sequence = list(sent)[which % len(sent)]
            answer = path.answer(sequence, sent[sequence])
            if answer is not None:
                machine.receive(answer[0], answer[1], now)
        elif event == "noise":
            machine.receive(bytes([which]) * which, one.target, now)
        elif event == "stop":
            machine.stop()
        elif event == "grow":
            path.routers = path.routers[: which % 4] + ["203.0.113.9"] * (which % 3)
        elif event == "silence":
            path.target_answers = not path.target_answers
        ended += machine.take()
        assert len(sent) == len(ended) + machine.in_flight
    for _ in range(2000):
        wake = machine.wake(now)
        if wake is None:
            break
        now = max(now, wake)
        sent.update({probe.sequence: probe.ttl for probe in machine.poll(now)})
        ended += machine.take()
    assert machine.finished
    assert sorted(each.sequence for each in ended) == sorted(sent)
    assert all(each.ttl in (TARGET, sent[each.sequence]) for each in ended)
    assert sum(each.ttl == TARGET for each in ended) <= count
    assert all((each.rtt_ns < 0) == (each.kind is Kind.LOST) for each in ended)
    assert all(each.rtt_ns <= SECOND for each in ended)


@given(
    st.lists(st.tuples(st.sampled_from([b"H", b"S", b"A", b"R", b"Z"]), st.binary(max_size=200)))
)
def test_strange_blocks_are_refused_in_words(blocks: list[tuple[bytes, bytes]]) -> None:
    for some in (blocks, [head_block(head()), *blocks]):
        with suppress(RunError):
            hops(read_run(some))


@given(st.binary(min_size=ROW.itemsize, max_size=20 * ROW.itemsize))
def test_strange_rows_are_counted_or_refused(data: bytes) -> None:
    rows = data[: len(data) // ROW.itemsize * ROW.itemsize]
    run = drawn(5, 1)
    before = [head_block(head()), addresses_block(run.addresses.all), rows_block(run.rows)]
    with suppress(RunError):
        assert hops(read_run([*before, (b"R", rows)]))


@given(st.binary(max_size=400), st.integers(0, 200))
def test_a_file_that_something_wrote_into_is_read_up_to_there(garbage: bytes, at: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.run"
        journal = Journal.create(path)
        blocks = [(b"A", b"one"), (b"B", b"two"), (b"C", b"three")]
        journal.append(blocks)
        journal.close()
        data = bytearray(path.read_bytes())
        data[at : at + len(garbage)] = garbage
        path.write_bytes(bytes(data))
        try:
            found = read_journal(path)
        except JournalError:
            return
        assert found[:3] == blocks[: len(found)] or at < 100
