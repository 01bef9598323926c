"""What a platform cannot be made to do, in the one form that a check and a renderer both use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a platform cannot do, and what to do instead. `path` is a place in the file."""

    path: tuple[str | int, ...]
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.remedy})"
