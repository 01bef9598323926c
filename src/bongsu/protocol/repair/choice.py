"""How much parity a stream needs, and how far apart the packets of a block should be.

Losses are taken for a Markov chain: a share of packets is lost, and one that follows a lost one at
some distance is lost with another probability. The receiver measures both, the second at distances of
1 to 16 packets; a block whose packets are `depth` apart sees the chain of that distance. From it
follows what a number of parities leaves unrepaired.
"""

from dataclasses import dataclass

from bongsu.protocol.repair.packet import DEPTH, LAGS

TARGET = 1e-4
"""Of what is sent, lost after repair: parity is chosen for no more than that."""
BETTER = 0.9
"""Where nothing reaches the target, a wider block has to leave less by this."""


@dataclass(frozen=True)
class Loss:
    """What was lost in some time."""

    judged: int = 0
    lost: int = 0
    pairs: tuple[int, ...] = (0,) * len(LAGS)

    @property
    def share(self) -> float:
        """The mean by Jeffreys' prior: of nothing seen, half may be lost."""
        return (self.lost + 0.5) / (self.judged + 1.0)

    def again(self, lag: int, share: float) -> float:
        """Probability that the packet LAGS[lag] after a lost one is lost."""
        found = (self.pairs[lag] + share) / (self.lost + 1.0)
        return share if found < share else min(found, 0.999)

    def __add__(self, other: "Loss") -> "Loss":
        pairs = tuple(a + b for a, b in zip(self.pairs, other.pairs, strict=True))
        return Loss(self.judged + other.judged, self.lost + other.lost, pairs)


@dataclass(frozen=True)
class Choice:
    """Parities of a block, blocks of a group, and what the model says is left."""

    rows: int
    depth: int
    residual: float


def residual(block: int, rows: int, share: float, again: float) -> float:
    """Share of packets lost and not repaired: all losses of a block that has more than `rows`."""
    every = block + rows
    first = 1.0 if share >= 1 else min(1.0, share * (1 - again) / (1 - share))
    lost, fine = [0.0] * (rows + 1), [0.0] * (rows + 1)
    fine[0] = 1 - share
    if rows:
        lost[1] = share
    for _ in range(1, every):
        for e in range(rows, 0, -1):
            was = fine[e] * (1 - first) + lost[e] * (1 - again)
            lost[e] = fine[e - 1] * first + lost[e - 1] * again
            fine[e] = was
        fine[0] = fine[0] * (1 - first) + lost[0] * (1 - again)
        lost[0] = 0.0
    repaired = sum(e * (lost[e] + fine[e]) for e in range(1, rows + 1))
    return max(0.0, (every * share - repaired) / every)


def needed(block: int, most: int, share: float, again: float) -> int:
    """The fewest rows that reach the target, or `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if residual(block, middle, share, again) <= TARGET:
            high = middle
        else:
            low = middle + 1
    return low


def choose(block: int, most: int, depth: int, brief: Loss, longer: Loss) -> Choice:
    """The fewest rows that reach the target, and then the least depth; else what leaves the least.

    `brief` is the latest second, `longer` the latest ten: losses that begin are answered at once,
    those that ended are forgotten slowly.
    """
    share = max(longer.share, brief.share) if brief.lost else longer.share
    best: Choice | None = None
    reached = False
    for lag, distance in enumerate(LAGS):
        if distance > depth:
            break
        chance = longer.again(lag, share)
        rows = needed(block, most, share, chance)
        made = Choice(rows, distance, residual(block, rows, share, chance))
        if best is None:
            better = True
        elif made.residual <= TARGET:
            better = not reached or rows < best.rows
        else:
            better = not reached and made.residual < BETTER * best.residual
        best = made if best is None or better else best
        reached = reached or made.residual <= TARGET
    assert best is not None  # a distance of 1 is always allowed
    return best


def depth_within(block: int, packets: int, delay_us: int, took_us: int) -> int:
    """Blocks that a group's time has room for, at the rate so far."""
    return max(1, min(DEPTH, packets * group_us(delay_us) // took_us // block))


def group_us(delay_us: int) -> int:
    """Of the delay that is allowed, what a group may take; the rest is for engine and wire."""
    return delay_us - delay_us // 8
