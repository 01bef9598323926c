"""One stream as it arrives: each packet once and at once, and what parity brings back.

The state is bounded: packets of a window are known, those of half a window are kept for a repair, and
so many blocks may be unfinished. `now` is in us.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bongsu.protocol.repair import code
from bongsu.protocol.repair.packet import (
    COMMON,
    DEPTH,
    LAGS,
    LARGEST,
    LEAST,
    PROTECTED,
    SYMBOL,
    SYMBOL_LEAST,
    Header,
    RefusedError,
    Report,
    Trailer,
    Type,
    from_symbol,
    symbol,
)

WINDOW = 4096
"""Packets of which it is known whether they came."""
HOLD = 2 * DEPTH * code.BLOCK
"""Numbers that packets are kept for: two groups of the deepest interleaving."""
BLOCKS = 64
LAG = 32
"""Packets after which one that did not come is called lost; it may come all the same."""
_WORD = 0xFFFFFFFF


@dataclass
class Slot:
    """A packet of the window."""

    noticed: int = 0
    came: bool = False
    repaired: bool = False
    judged_lost: bool = False
    symbol: bytes | None = None

    @property
    def here(self) -> bool:
        """It needs no repair."""
        return self.came or self.repaired


@dataclass
class Unfinished:
    """A block of which something is missing."""

    base: int
    stride: int
    count: int
    length: int
    parities: dict[int, bytes] = field(default_factory=dict)

    def sequences(self) -> list[int]:
        """Of its packets."""
        return [(self.base + i * self.stride) & _WORD for i in range(self.count)]


@dataclass
class Received:
    """Figures of a stream."""

    packets: int = 0
    duplicates: int = 0
    parities: int = 0
    repaired: int = 0
    late: int = 0
    """Repaired after more than the delay that the mode allows; handed over all the same."""
    old: int = 0
    spoilt: int = 0
    unheld: int = 0
    judged: int = 0
    lost: int = 0
    runs: int = 0
    pairs: list[int] = field(default_factory=lambda: [0] * len(LAGS))


class Receiver:
    """Returns the relayed packets to be handed over. `header` is that of the packets that come."""

    def __init__(self, header: Header, delay_us: int = 0) -> None:
        self.header, self.delay_us = header, delay_us
        self.received = Received()
        self.epoch: int | None = None
        self.highest = 0
        self._judged = 0
        self._before = 0
        self._slots = [Slot() for _ in range(WINDOW)]
        self._blocks: list[Unfinished] = []

    def take(self, packet: bytes, trailer: Trailer, now: int) -> list[bytes]:
        """A packet whose tag was right: data or parity, without its trailer."""
        if not _formed(packet, trailer):
            self.received.spoilt += 1
            return []
        if self.epoch is not None and trailer.epoch < self.epoch:
            self.received.old += 1
            return []
        parity = trailer.type is Type.PARITY
        reach = trailer.sequence + ((trailer.count - 1) * trailer.stride if parity else 0)
        reach &= _WORD
        if self.epoch is None or trailer.epoch > self.epoch:
            self._begin(trailer.epoch, reach, parity)
        ahead = _signed(reach - self.highest) > 0
        if ahead:
            self._advance(reach, now)
        if parity:
            return list(self._parity(packet[COMMON:], trailer, now))
        return list(self._data(packet, trailer, ahead, now))

    def settle(self) -> None:
        """Nothing more is on its way: all up to the highest number is judged."""
        while self.epoch is not None and _signed(self.highest - self._judged) >= 0:
            self._judge()

    def report(self) -> Report:
        """For the sender."""
        now = self.received
        pairs = tuple(now.pairs)
        return Report(self.highest, now.judged, now.lost, now.runs, pairs, now.repaired, now.late)  # type: ignore[arg-type]

    def _slot(self, sequence: int) -> Slot:
        return self._slots[sequence % WINDOW]

    def _age(self, sequence: int) -> int:
        return (self.highest - sequence) & _WORD

    def _begin(self, epoch: int, sequence: int, parity: bool) -> None:
        self.settle()
        self._blocks.clear()
        self._slots = [Slot(noticed=slot.noticed) for slot in self._slots]
        self.epoch, self.highest = epoch, sequence
        self._judged, self._before = (sequence + parity) & _WORD, 0

    def _advance(self, to: int, now: int) -> None:
        if (to - self.highest) & _WORD >= WINDOW:
            self._leap(to, now)
        while self.highest != to:
            self.highest = (self.highest + 1) & _WORD
            self._slots[self.highest % WINDOW] = Slot(noticed=now)
            self._slot(self.highest - HOLD).symbol = None
            if _signed(self.highest - LAG - self._judged) >= 0:
                self._judge()

    def _leap(self, to: int, now: int) -> None:
        """The window knows nothing of most of what is missing."""
        lost = (to - self.highest - 1) & _WORD
        self.settle()
        self._blocks.clear()
        self.received.judged += lost
        self.received.lost += lost
        self.received.runs += not self._before & 1
        self.received.pairs = [pairs + lost for pairs in self.received.pairs]
        self._before = _WORD
        self._slots = [Slot(noticed=now, judged_lost=True) for _ in self._slots]
        self.highest = self._judged = to
        self._slot(to).judged_lost = False

    def _judge(self) -> None:
        slot = self._slot(self._judged)
        self._judged = (self._judged + 1) & _WORD
        self.received.judged += 1
        if not slot.came:
            slot.judged_lost = True
            self.received.lost += 1
            self.received.runs += not self._before & 1
            for lag, distance in enumerate(LAGS):
                self.received.pairs[lag] += self._before >> (distance - 1) & 1
        self._before = (self._before << 1 | (not slot.came)) & _WORD

    def _data(self, packet: bytes, trailer: Trailer, ahead: bool, now: int) -> Iterator[bytes]:
        if self._age(trailer.sequence) >= WINDOW:
            self.received.old += 1
            return
        slot = self._slot(trailer.sequence)
        if slot.here:
            self._again(slot)
            return
        self.received.lost -= slot.judged_lost
        slot.came, slot.judged_lost = True, False
        self.received.packets += 1
        kept = trailer.type is Type.DATA and len(packet) <= PROTECTED
        if kept and self._age(trailer.sequence) < HOLD:
            slot.symbol = symbol(packet)
        yield packet
        if not ahead:
            for block in [b for b in self._blocks if trailer.sequence in b.sequences()]:
                yield from self._attempt(block, now)

    def _again(self, slot: Slot) -> None:
        self.received.duplicates += 1
        if not slot.came:
            # it was repaired, and not lost
            self.received.repaired -= 1
            self.received.lost -= slot.judged_lost
            slot.came, slot.judged_lost = True, False

    def _parity(self, parity: bytes, trailer: Trailer, now: int) -> Iterator[bytes]:
        base = trailer.sequence
        if self._age(base) >= HOLD:
            self.received.old += 1
            return
        self.received.parities += 1
        new = Unfinished(base, trailer.stride, trailer.count, len(parity))
        if all(self._slot(sequence).here for sequence in new.sequences()):
            for sequence in new.sequences():
                self._slot(sequence).symbol = None
            return
        for old in [block for block in self._blocks if self._age(block.base) >= HOLD]:
            self._close(old)
        block = next((block for block in self._blocks if block.base == base), None)
        if block is None:
            if len(self._blocks) == BLOCKS:
                self._close(max(self._blocks, key=lambda block: self._age(block.base)))
            self._blocks.append(block := new)
        elif (block.stride, block.count, block.length) != (new.stride, new.count, new.length):
            self.received.spoilt += 1
            return
        elif trailer.row in block.parities:
            self.received.duplicates += 1
            return
        block.parities[trailer.row] = parity
        yield from self._attempt(block, now)

    def _close(self, block: Unfinished) -> None:
        self._blocks.remove(block)
        for sequence in block.sequences():
            self._slot(sequence).symbol = None

    def _attempt(self, block: Unfinished, now: int) -> Iterator[bytes]:
        """Repairs a block if enough of it is here; closes it when there is nothing to wait for."""
        slots = [self._slot(sequence) for sequence in block.sequences()]
        missing = [column for column, slot in enumerate(slots) if not slot.here]
        stale = self._age(block.base) >= HOLD
        if not stale and len(missing) > len(block.parities):
            return
        if missing and not stale:
            have = {column: slot.symbol for column, slot in enumerate(slots) if slot.here}
            if any(kept is None for kept in have.values()):
                self.received.unheld += 1
            else:
                whole = {column: kept for column, kept in have.items() if kept is not None}
                yield from self._repair(block, slots, missing, whole, now)
        self._close(block)

    def _repair(
        self,
        block: Unfinished,
        slots: list[Slot],
        missing: list[int],
        have: dict[int, bytes],
        now: int,
    ) -> Iterator[bytes]:
        try:
            for column, solved in zip(
                missing, code.solve(have, missing, block.parities), strict=True
            ):
                packet = from_symbol(self.header, solved)
                slots[column].repaired = True
                self.received.repaired += 1
                lateness = now - slots[column].noticed
                self.received.late += bool(self.delay_us) and lateness > self.delay_us
                yield packet
        except (RefusedError, ValueError):
            self.received.spoilt += 1


def _formed(packet: bytes, trailer: Trailer) -> bool:
    if trailer.type is Type.PARITY:
        length = len(packet) - COMMON
        return trailer.is_parity and SYMBOL_LEAST <= length <= SYMBOL
    return trailer.type in (Type.PLAIN, Type.DATA) and LEAST <= len(packet) <= LARGEST


def _signed(difference: int) -> int:
    difference &= _WORD
    return difference - (1 << 32) if difference >> 31 else difference
