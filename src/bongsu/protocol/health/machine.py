"""One endpoint's health: `misses` probes without an answer take it out, one answer brings it back."""

from dataclasses import dataclass


@dataclass
class Health:
    """Taken for alive until the probes say otherwise: sessions of an earlier agent go on."""

    misses: int
    alive: bool = True
    missed: int = 0
    """One after the other, up to now."""
    asked: int = 0
    answered: int = 0
    reason: str = ""
    """Of the last one that was missed."""

    def look(self, reason: str) -> bool:
        """A probe ended: empty if it was answered, else why not. Whether the verdict changed."""
        self.asked += 1
        before = self.alive
        if not reason:
            self.answered += 1
            self.missed, self.alive, self.reason = 0, True, ""
        else:
            self.missed += 1
            self.reason = reason
            self.alive = self.alive and self.missed < self.misses
        return before != self.alive
