"""A kept measurement: what was measured, from where, and every row of it; to and from blocks of bytes.

A run is a list of blocks, each a kind (one byte) and a payload: `H` what was asked (JSON, once), `S` a
part begins (JSON), `A` addresses that the rows after it may name (JSON), `R` rows. Blocks are only
ever added, so whatever was kept before a crash stays good. Reading trusts nothing: RunError says what
is wrong.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from ipaddress import ip_address
from typing import Any

import numpy as np

from bongsu.model.base import Address
from bongsu.protocol.path.flow import LONGEST, MINIMUM, Protocol
from bongsu.protocol.path.machine import TARGET, Pace
from bongsu.protocol.path.records import MANY, ROW, Addresses, Rows, Table

VERSION = 1

Block = tuple[bytes, bytes]


class RunError(Exception):
    """The blocks are no run of ours. `hint` says what to do, if known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Head:
    """What was asked. Names are as the operator gave them."""

    source_name: str
    target_name: str
    source: str
    target: str
    protocol: Protocol
    interval_ns: int
    round_ns: int
    wait_ns: int
    count: int | None
    max_hops: int
    size: int
    lab: str | None = None
    """The lab whose member measured; None for this machine."""
    netns: str | None = None
    version: int = VERSION

    @property
    def pace(self) -> Pace:
        """Its pace. ValueError if it makes no sense."""
        return Pace(self.interval_ns, self.round_ns, self.wait_ns, self.count, self.max_hops)

    @property
    def title(self) -> str:
        """From where to where."""
        return f"{self.source_name} to {self.target_name}"


@dataclass
class Run:
    """A measurement as it is kept."""

    head: Head
    parts: list[int] = field(default_factory=list)
    """Unix time (ns) at which each part began: more than one if it was left and resumed."""
    addresses: Addresses = field(default_factory=Addresses)
    table: Table = field(default_factory=Table)

    @property
    def rows(self) -> Rows:
        """Every probe whose fate is known."""
        return self.table.rows

    @property
    def target(self) -> Address:
        """Where the probes went."""
        return ip_address(self.head.target)

    @property
    def done(self) -> int:
        """Probes to the target whose fate is known."""
        return int(np.count_nonzero(self.rows["ttl"] == TARGET))

    @property
    def complete(self) -> bool:
        """Whether as many probes were decided as were asked for."""
        return self.head.count is not None and self.done >= self.head.count

    @property
    def next_sequence(self) -> int:
        """A number that no probe of it had."""
        return int(self.rows["sequence"].max()) + 1 if len(self.rows) else 0


def head_block(head: Head) -> Block:
    """The first block of a run."""
    return b"H", json.dumps(asdict(head)).encode()


def part_block(started_ns: int) -> Block:
    """A part begins."""
    return b"S", json.dumps({"started_ns": started_ns}).encode()


def addresses_block(addresses: Iterable[Address]) -> Block:
    """Addresses, in the order of their places."""
    return b"A", json.dumps([str(address) for address in addresses]).encode()


def rows_block(rows: Rows) -> Block:
    """Rows."""
    return b"R", rows.tobytes()


def read_run(blocks: Iterable[Block]) -> Run:
    """The run in these blocks. RunError if they are none."""
    run: Run | None = None
    addresses: list[Address] = []
    chunks: list[Rows] = []
    parts: list[int] = []
    for kind, payload in blocks:
        if run is None:
            if kind != b"H":
                raise RunError("it does not begin with what was measured")
            run = Run(_head(payload))
        elif kind == b"R":
            if len(payload) % ROW.itemsize:
                raise RunError("it holds half a row")
            chunks.append(np.frombuffer(payload, ROW))
        elif kind == b"A":
            addresses += _addresses(payload)
        elif kind == b"S":
            parts.append(_started(payload))
        else:
            raise RunError(f"it holds a block {kind!r}", hint="a newer bongsu wrote it")
    if run is None:
        raise RunError("it is empty")
    rows = np.concatenate(chunks) if chunks else np.zeros(0, ROW)
    named = rows["host"][rows["host"] != MANY]
    if len(named) and int(named.max()) > len(addresses):
        raise RunError("a row names an address that it does not hold")
    run.parts = parts
    run.addresses = Addresses(addresses)
    run.table = Table(rows)
    return run


def _head(payload: bytes) -> Head:
    values = _json(payload, dict)
    if values.get("version") != VERSION:
        raise RunError(
            f"it is of version {values.get('version')}, {VERSION} is known",
            hint="another version of bongsu wrote it",
        )
    if values.keys() != {each.name for each in fields(Head)}:
        raise RunError("what was measured is not all there")
    numbers = ("interval_ns", "round_ns", "wait_ns", "max_hops", "size")
    try:
        if any(type(values[name]) is not int for name in numbers):
            raise ValueError("a number is none")
        head = Head(**values)
        target, source = ip_address(head.target), ip_address(head.source)
        if target.version != source.version or head.protocol not in ("icmp", "udp"):
            raise ValueError("its ends do not fit")
        if not MINIMUM[target.version] <= head.size <= LONGEST:
            raise ValueError("its probes have no size")
        if head.count is not None and (type(head.count) is not int or head.count < 1):
            raise ValueError("its count is none")
        _ = head.pace
    except (TypeError, ValueError) as error:
        raise RunError(f"what was measured makes no sense: {error}") from error
    return head


def _addresses(payload: bytes) -> list[Address]:
    try:
        return [ip_address(str(text)) for text in _json(payload, list)]
    except ValueError as error:
        raise RunError(str(error)) from error


def _started(payload: bytes) -> int:
    started = _json(payload, dict).get("started_ns")
    if type(started) is not int:
        raise RunError("a part begins at no time")
    return started


def _json(payload: bytes, kind: type) -> Any:
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise RunError("a block is no JSON") from error
    if not isinstance(value, kind):
        raise RunError("a block holds something else")
    return value
