"""A network file that was read: the network, and where each part of it stands."""

from dataclasses import dataclass
from typing import NamedTuple

from bongsu.intent.document import Document
from bongsu.intent.problem import Path
from bongsu.model.network import Network


class Place(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Loaded:
    """The network of a file."""

    network: Network
    document: Document

    def locate(self, path: Path) -> Place:
        """Where a path stands. A path that is not in the file (a default) gives what is above it."""
        return Place(self.document.file, *self.document.position(path))
