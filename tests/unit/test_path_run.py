"""Kept runs: what was written is read again, whatever the file has been through."""

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from bongsu.protocol.path.flow import Kind
from bongsu.protocol.path.machine import Outcome
from bongsu.protocol.path.records import MANY, ROW, Addresses, Table, rows_of
from bongsu.protocol.path.run import (
    Block,
    RunError,
    addresses_block,
    head_block,
    part_block,
    read_run,
    rows_block,
)
from bongsu.system.journal import Journal, JournalError, read_journal
from tests.unit.path_runs import TARGETS, drawn, head, kept


def blocks_of(number: int = 10) -> list[Block]:
    run = drawn(number, 1, loss=0.3)
    return [
        head_block(run.head),
        part_block(run.parts[0]),
        addresses_block(run.addresses.all),
        rows_block(run.rows),
    ]


def test_a_run_is_read_as_it_was_written() -> None:
    run = drawn(100, 1, loss=0.3)
    again = read_run(blocks_of(100))
    assert again.head == run.head
    assert again.parts == run.parts
    assert again.addresses.all == run.addresses.all
    assert (again.rows == run.rows).all()
    assert (again.done, again.next_sequence) == (100, 100)


def test_parts_are_joined() -> None:
    first = blocks_of()
    run = read_run([*first, part_block(5), first[-1]])
    assert (len(run.parts), run.done) == (2, 20)


def test_complete_when_enough_is_decided() -> None:
    blocks = blocks_of(10)
    for count, complete in ((None, False), (10, True), (11, False)):
        blocks[0] = head_block(head(count=count))
        assert read_run(blocks).complete is complete


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([], "it is empty"),
        ([part_block(1)], "begin"),
        ([(b"H", b"{")], "no JSON"),
        ([(b"H", b"[]")], "something else"),
        ([(b"H", b"{}")], "version None"),
        ([(b"H", json.dumps({"version": 1}).encode())], "not all there"),
        ([head_block(head()), (b"R", b"x" * 31)], "half a row"),
        ([head_block(head()), (b"?", b"")], "a block b'?'"),
        ([head_block(head()), (b"A", b'["nowhere"]')], "nowhere"),
        ([head_block(head()), (b"S", b'{"started_ns": "now"}')], "at no time"),
        ([head_block(head()), rows_block(kept([1.0]).rows)], "an address that it does not hold"),
        ([head_block(replace(head(), target="2001:db8::1"))], "ends do not fit"),
        ([head_block(replace(head(), target="web"))], "makes no sense"),
        ([head_block(replace(head(), interval_ns=1))], "makes no sense"),
        ([head_block(replace(head(), count=0))], "count"),
        ([head_block(replace(head(), size=3))], "size"),
    ],
)
def test_what_is_no_run_is_said_to_be_none(blocks: list[Block], words: str) -> None:
    with pytest.raises(RunError, match=words):
        read_run(blocks)


def test_outcomes_become_rows() -> None:
    addresses = Addresses()
    router = ip_address("203.0.113.1")
    rows = rows_of(
        [
            Outcome(7, 1, 100, 5, Kind.EXCEEDED, 0, router),
            Outcome(8, 0, 200, -1, Kind.LOST, 0, None),
            Outcome(9, 0, 300, 9, Kind.REPLY, 0, TARGETS[4]),
        ],
        addresses,
        1000,
    )
    assert rows["sent_ns"].tolist() == [1100, 1200, 1300]
    assert rows["host"].tolist() == [1, 0, 2]
    assert rows["rtt_ns"].tolist() == [5, -1, 9]
    assert addresses.all == [router, TARGETS[4]]


def test_addresses_have_a_bound() -> None:
    many = Addresses(ip_address(number) for number in range(MANY - 1))
    assert many.place(ip_address("255.0.0.1")) == MANY
    assert many.place(ip_address(5)) == 6
    assert len(many.all) == MANY - 1


def test_a_table_grows_and_its_views_stay() -> None:
    table = Table()
    rows = np.zeros(3000, ROW)
    table.append(rows)
    early = table.rows
    for _ in range(10):
        table.append(rows)
    assert (len(early), len(table.rows)) == (3000, 33_000)


def test_a_journal_goes_on_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.run"
    journal = Journal.create(path)
    journal.append(blocks_of())
    journal.close()
    again, blocks = Journal.reopen(path)
    assert blocks == blocks_of()
    again.append([(b"S", b"{}")])
    again.close()
    assert read_journal(path) == [*blocks_of(), (b"S", b"{}")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_torn_end_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    journal = Journal.create(path)
    journal.append([(b"A", b"first")])
    whole = path.stat().st_size
    journal.append([(b"B", b"second" * 5)])
    journal.close()
    data = path.read_bytes()
    for length in range(whole, len(data)):
        path.write_bytes(data[:length])
        again, blocks = Journal.reopen(path)
        again.append([(b"C", b"third")])
        again.close()
        assert blocks == [(b"A", b"first")]
        assert read_journal(path) == [(b"A", b"first"), (b"C", b"third")]


def test_a_flipped_bit_ends_the_reading_there(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    journal = Journal.create(path)
    journal.append([(b"A", b"first"), (b"B", b"second")])
    journal.close()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert read_journal(path) == [(b"A", b"first")]


def test_what_was_cut_off_does_not_come_back(tmp_path: Path) -> None:
    """A block of the same length in place of a broken one: what stood behind it is gone for good."""
    path = tmp_path / "a.run"
    journal = Journal.create(path)
    journal.append([(b"A", b"first"), (b"B", b"second"), (b"C", b"third")])
    journal.close()
    data = path.read_bytes().replace(b"second", b"Second")
    path.write_bytes(data)
    again, blocks = Journal.reopen(path)
    again.append([(b"D", b"fourth")])
    again.close()
    assert blocks == [(b"A", b"first")]
    assert read_journal(path) == [(b"A", b"first"), (b"D", b"fourth")]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    journal = Journal.create(path)
    with pytest.raises(JournalError, match="another process"):
        Journal.reopen(path)
    with pytest.raises(JournalError, match="there already"):
        Journal.create(path)
    journal.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("dear diary")
    with pytest.raises(JournalError, match="no measurement"):
        Journal.reopen(path)
    assert path.read_text() == "dear diary"
