"""The tower's end of one stream: what of a batch is new, what was left out, what may be acked.

`received` runs ahead of `kept`: a batch is taken when it comes and acked when it is on the disk. A
number that never comes was dropped by the node, which tells how many; here they are counted again.
"""

from dataclasses import dataclass

from bongsu.wire import bounds
from bongsu.wire.messages import Ack, Batch, Record, WireError


@dataclass(frozen=True)
class Taken:
    """Of one batch: the records that are new, in order, and how many numbers between them are gone."""

    records: tuple[Record, ...]
    missing: int


class Receiver:
    """One spool, from the number up to which everything is kept."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.received = kept
        self._waiting = self._bytes = 0

    def batch(self, batch: Batch) -> Taken:
        """Take a batch. WireError if it begins beyond what has come, or the window is not kept to."""
        if batch.after > self.received:
            raise WireError(
                f"a batch after {batch.after}, {self.received} is the last one received"
            )
        new = tuple(each for each in batch.records if each.sequence > self.received)
        if not new:
            return Taken((), 0)
        size = sum(len(each.body) for each in new)
        if self._waiting and (
            self._waiting + len(new) > bounds.WINDOW_RECORDS
            or self._bytes + size > bounds.WINDOW_BYTES
        ):
            raise WireError("more on the way than the Welcome allowed")
        missing = new[-1].sequence - self.received - len(new)
        self.received = new[-1].sequence
        self._waiting += len(new)
        self._bytes += size
        return Taken(new, missing)

    def durable(self, taken: Taken) -> Ack:
        """A batch that was taken is on the disk; batches get there in order."""
        last = taken.records[-1].sequence
        assert self.kept < last <= self.received
        self.kept = last
        self._waiting -= len(taken.records)
        self._bytes -= sum(len(each.body) for each in taken.records)
        return Ack(last)
