"""The messages as the house sees them. Each has been judged by the codec; none knows protobuf."""

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class WireError(Exception):
    """The peer's fault: what it said is no message, or not one that it may say now."""


@dataclass(frozen=True)
class Hello:
    """The node's first word on a stream."""

    spool: bytes
    """Which spool's numbers these are; a spool that is made anew has another."""
    last: int
    """The newest record's number, 0 before the first."""
    software: str = ""
    version: int = 1


@dataclass(frozen=True)
class Welcome:
    """The tower's answer: where to go on, and how much may be on the way."""

    acked: int
    records: int
    bytes: int
    version: int = 1


@dataclass(frozen=True)
class Record:
    """One thing that is told. `body` is an encoded Payload: only its last reader opens it."""

    sequence: int
    body: bytes


@dataclass(frozen=True)
class Batch:
    """Records in order, none with a number up to `after`."""

    after: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Ack:
    """Everything up to here is on the tower's disk."""

    sequence: int


@dataclass(frozen=True)
class Event:
    """What happened on a node, and why."""

    level: Level
    kind: str
    subject: str
    cause: str
    number: int
    """In the agent's own log, which begins anew with each start."""
    monotonic_ns: int
    details: dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """A state as a whole; the next one of its kind takes its place."""

    kind: str
    plan: str
    document: Any
    """A JSON value."""


@dataclass(frozen=True)
class Row:
    """One subject's figures; as many as the series has metrics, NaN where one is not known."""

    subject: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """Figures of all subjects of one kind at one moment. Counters are exact up to 2**53."""

    kind: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Payload:
    """What a record's body holds. A kind that this version does not know is `None`."""

    time_ns: int
    """Since 1970, UTC, by the node's clock."""
    what: Event | Snapshot | Series | None


@dataclass(frozen=True)
class EnrolRequest:
    """A newcomer's token, and its key's request for a certificate (PKCS #10, DER)."""

    token: str
    request: bytes


@dataclass(frozen=True)
class Certificate:
    """A certificate and who signed it, DER; and where the uplink is, on the same host."""

    certificate: bytes
    authority: bytes
    port: int


FromNode = Hello | Batch
FromTower = Welcome | Ack
