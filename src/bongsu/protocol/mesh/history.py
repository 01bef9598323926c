"""What the direct paths were like, a row for each window that has passed, for about a day."""

from collections.abc import Iterable

import numpy as np

from bongsu.protocol.mesh.window import Figures

ROWS = 2880
"""Of each peer: a day of half minutes. 40 bytes a row, 113 kB a peer."""
SHORTEST_NS = 30_000_000_000
ROW = np.dtype(
    [
        ("at_ns", "i8"),
        ("p50_ns", "i8"),
        ("p99_ns", "i8"),
        ("jitter_ns", "i8"),
        ("loss", "f4"),
        ("next_hop", "u4"),
    ]
)
"""`at_ns` is monotonic, the end of the window; RTTs are -1 without an answer."""


class History:
    """A bounded ring of rows for each peer."""

    def __init__(self, window_ns: int) -> None:
        self.every_ns = max(window_ns, SHORTEST_NS)
        self._rows: dict[int, np.ndarray[tuple[int], np.dtype[np.void]]] = {}
        self._counts: dict[int, int] = {}
        self._due: int | None = None

    def follow(self, peers: Iterable[int]) -> None:
        """Forget all but these."""
        wanted = set(peers)
        for gone in set(self._rows) - wanted:
            del self._rows[gone], self._counts[gone]

    def note(self, now: int, figures: dict[int, Figures], next_hops: dict[int, int]) -> None:
        """Keep a row of each peer if it is time."""
        if self._due is None:
            self._due = now + self.every_ns
        if now < self._due:
            return
        self._due = now + self.every_ns
        for peer, seen in figures.items():
            if peer not in self._rows:
                self._rows[peer], self._counts[peer] = np.zeros(ROWS, ROW), 0
            self._rows[peer][self._counts[peer] % ROWS] = (
                now, *(-1 if value is None else value
                       for value in (seen.p50_ns, seen.p99_ns, seen.jitter_ns)),
                seen.loss, next_hops.get(peer, peer),
            )  # fmt: skip
            self._counts[peer] += 1

    def rows(self, peer: int) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
        """Of one peer, oldest first."""
        if peer not in self._rows:
            return np.zeros(0, ROW)
        count = self._counts[peer]
        order = np.arange(max(0, count - ROWS), count) % ROWS
        return self._rows[peer][order]
