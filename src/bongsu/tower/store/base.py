"""The one interface to whatever the tower keeps things in.

Everything here blocks and is called from threads. Times of day are aware datetimes in UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bongsu.wire.messages import Event, Record


class StoreError(Exception):
    """The disk, or what is on it."""


@dataclass(frozen=True)
class Delivery:
    """New records of one spool, in order, as a stream's receiver took them."""

    node: str
    serial: str
    """Of the certificate that they came with: it may have been revoked since."""
    spool: bytes
    after: int
    """What was kept before the first of them, or the delivery is not taken."""
    records: tuple[Record, ...]
    missing: int
    """Numbers between them that the node dropped."""

    @property
    def last(self) -> int:
        """The number of the last one."""
        return self.records[-1].sequence


@dataclass(frozen=True)
class NodeRow:
    """A node as the tower knows it."""

    name: str
    enrolled: datetime
    certificate_ends: datetime | None
    """Of the newest certificate; None: there is none that counts."""
    seen: datetime | None
    """When it last brought or said something."""
    software: str
    plan: str
    """The digest of the plan in force when it last told its state."""
    records: int
    """Kept in all, from every spool."""
    missing: int
    """Dropped by the node because its disk was full."""
    unreadable: int
    """Records whose body is none; the newest of them are kept as they came."""


@dataclass(frozen=True)
class EventRow:
    """An event of a node, or of the tower itself (`node` is empty)."""

    number: int
    """In the order in which the tower learned of them."""
    node: str
    time: datetime
    received: datetime
    event: Event


@dataclass(frozen=True)
class SnapshotRow:
    """The last state of its kind that a node told."""

    node: str
    kind: str
    plan: str
    time: datetime
    document: Any


@dataclass(frozen=True)
class Point:
    """One value of a series, or what a rollup has made of several."""

    time: datetime
    low: float
    high: float
    mean: float
    last: float
    count: int


class Register(Protocol):
    """Who may come: nodes, certificates, tokens."""

    def invite(self, node: str, number: str, digest: bytes, ends: datetime, now: datetime) -> None:
        """Keep a one-time token for a node."""

    def invitation(self, number: str) -> bytes | None:
        """The digest of a token, whatever has become of it."""

    def redeem(self, number: str, now: datetime) -> str | None:
        """Use a token up: the node that it was for; None if it has been used or has ended."""

    def admit(self, node: str, serial: str, ends: datetime, now: datetime) -> None:
        """A certificate was made for a node; the node is known from now on."""

    def may(self, node: str, serial: str, now: datetime) -> bool:
        """Whether the certificate is known, not ended and not revoked."""

    def remove(self, node: str, now: datetime) -> bool:
        """Revoke the node's certificates and tokens; what it told stays. False if it is not known."""

    def nodes(self) -> list[NodeRow]:
        """Every node that is not removed, by name."""


class Store(Register, Protocol):
    """And all that they tell: events, states and series."""

    def seen(self, node: str, software: str, now: datetime) -> None:
        """A node has said Hello."""

    def kept(self, node: str, spool: bytes) -> int:
        """Up to which number everything of a spool is kept; 0 for a new one."""

    def keep(self, deliveries: Sequence[Delivery], now: datetime) -> list[str]:
        """Keep them all, on disk when it returns; for each why it was not taken, or an empty text.

        Raises StoreError; then nothing of them counts as kept.
        """

    def tell(self, event: Event, now: datetime) -> None:
        """An event of the tower's own."""

    def events(self, node: str | None, after: int, limit: int) -> list[EventRow]:
        """Events after a number, oldest first; with None of every node and of the tower."""

    def snapshot(self, node: str, kind: str) -> SnapshotRow | None:
        """A node's last state of a kind."""

    def points(
        self,
        node: str,
        kind: str,
        subject: str,
        metric: str,
        begin: datetime,
        end: datetime,
        step_s: float,
        now: datetime,
    ) -> list[Point]:
        """A series between two times in steps, from the finest data that is still there."""

    def tidy(self, now: datetime) -> None:
        """Roll up what is new, and forget what is too old. Called every minute or so."""

    def close(self) -> None:
        """Leave everything on disk."""
