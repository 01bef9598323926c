"""What a check says: the code to look up, the place in the file, what is wrong and the way out."""

from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]


class Severity(StrEnum):
    """How bad it is. An error breaks the network or somebody else's; a warning may."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `path` is a place in the network file."""

    code: str
    severity: Severity
    path: Path
    message: str
    hint: str | None = None
