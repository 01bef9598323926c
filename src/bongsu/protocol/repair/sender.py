"""One stream as it leaves: numbers, parity, and what follows from reports. It takes `now` in us."""

from collections import deque
from dataclasses import dataclass, field

from bongsu.model.accelerator import ReedSolomon
from bongsu.protocol.repair import code
from bongsu.protocol.repair.choice import Choice, Loss, choose, depth_within, group_us
from bongsu.protocol.repair.packet import PROTECTED, Header, Report, Trailer, Type, symbol

HISTORY, BRIEF = 100, 10
"""Reports that are kept, ten a second; those of the latest second."""
_WORD = 0xFFFFFFFF


def most_rows(mode: ReedSolomon) -> int:
    """Parities of a full block, at most."""
    return min(code.ROWS, max(1, mode.block * mode.overhead_percent // 100))


@dataclass
class Group:
    """Blocks that are being filled in turn."""

    base: int
    rows: int
    depth: int
    due: int
    symbols: list[bytes] = field(default_factory=list)


class Sender:
    """Returns what is to be sent, all but the tag."""

    def __init__(self, header: Header, epoch: int, mode: ReedSolomon, now: int) -> None:
        self.header, self.epoch, self.mode = header, epoch, mode
        self.most = most_rows(mode)
        self.choice = Choice(self.most, 1, 1.0)
        self.group: Group | None = None
        self.next = 0
        self._credit = 0
        self._history: deque[Loss] = deque(maxlen=HISTORY)
        self._last: Report | None = None
        self._chosen = (now, 0)

    @property
    def due(self) -> int | None:
        """When `tick` is to be called."""
        return self.group.due if self.group else None

    def put(self, packet: bytes, now: int) -> list[bytes]:
        """A relayed packet."""
        out: list[bytes] = []
        fits = len(packet) <= PROTECTED
        if self.group and (not fits or now >= self.group.due):
            out += self._close()
        if fits and not self.group and self.choice.rows:
            due = now + group_us(self.mode.delay_ms * 1000)
            self.group = Group(self.next, self.choice.rows, self.choice.depth, due)
        guarded = fits and self.group is not None
        self._earn()
        trailer = Trailer(self.epoch, self.next, Type.DATA if guarded else Type.PLAIN)
        out.append(packet + trailer.pack())
        self.next = (self.next + 1) & _WORD
        if self.group and guarded:
            self.group.symbols.append(symbol(packet))
            if len(self.group.symbols) == self.group.depth * self.mode.block:
                out += self._close()
        return out

    def tick(self, now: int) -> list[bytes]:
        """Parity of a group whose time is over."""
        return self._close() if self.group and now >= self.group.due else []

    def report(self, epoch: int, report: Report, now: int) -> None:
        """Only what is newer than what is known; who began anew is believed when it knows more."""
        unsent = epoch == self.epoch and _signed(report.highest - self.next) >= 0
        if epoch > self.epoch or unsent:
            # it remembers us from before we forgot, or was told in our name what we never sent
            self.epoch, self._last = epoch + 1, None
            return
        last = self._last
        if epoch < self.epoch or (last and not _newer(report, last)):
            return
        if last is None or report.judged < last.judged:
            self._history.clear()
            last = Report(0, 0, 0, 0, (0,) * 5, 0, 0)
        pairs = zip(report.pairs, last.pairs, strict=True)
        self._history.append(
            Loss(
                report.judged - last.judged,
                max(0, report.lost - last.lost),
                tuple((new - old) & _WORD for new, old in pairs),
            )
        )
        self._last = report
        self._choose(now)

    def _choose(self, now: int) -> None:
        since, number = self._chosen
        if now == since:
            return
        packets = (self.next - number) & _WORD
        block = self.mode.block
        depth = depth_within(block, packets, self.mode.delay_ms * 1000, now - since)
        brief = sum(list(self._history)[-BRIEF:], Loss())
        self.choice = choose(block, self.most, depth, brief, sum(self._history, Loss()))
        self._chosen = (now, self.next)

    def _earn(self) -> None:
        """Hundredths of a parity; what a quiet time saved is not sent at once later."""
        depth = self.group.depth if self.group else self.choice.depth
        bound = 2 * self.mode.block * self.mode.overhead_percent * depth
        self._credit = min(self._credit + self.mode.overhead_percent, bound)

    def _close(self) -> list[bytes]:
        """Row by row, so that a burst of losses hits each block's parity as little as its data."""
        group = self.group
        assert group is not None
        self.group = None
        blocks = [
            symbols for b in range(group.depth) if (symbols := group.symbols[b :: group.depth])
        ]
        granted = min(group.rows * len(blocks), self._credit // 100)
        self._credit -= granted * 100
        out = []
        for index in range(granted):
            row, block = divmod(index, len(blocks))
            trailer = Trailer(
                self.epoch,
                (group.base + block) & _WORD,
                Type.PARITY,
                row,
                len(blocks[block]),
                group.depth,
            )
            out.append(self.header.pack() + code.parity(blocks[block], row) + trailer.pack())
        return out


def _signed(difference: int) -> int:
    difference &= _WORD
    return difference - (1 << 32) if difference >> 31 else difference


def _newer(report: Report, last: Report) -> bool:
    ahead = _signed(report.highest - last.highest)
    return ahead > 0 or (ahead == 0 and report.judged > last.judged)
