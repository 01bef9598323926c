"""The lines that have been added to a log file since the last look."""

from pathlib import Path

READ_BYTES = 256 * 1024
"""Of one look; a daemon that says more has lost the middle of it."""


class Tail:
    """Follows one file, also when it is renamed and begun anew. `skip`: what is there now is old."""

    def __init__(self, path: Path, *, skip: bool = False) -> None:
        self._path = path
        self._inode = 0
        self._at = 0
        self._rest = b""
        if skip:
            self.lines()

    def lines(self) -> list[str]:
        """Whole lines, without their ends. A file that is not there has none."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if status.st_ino != self._inode or status.st_size < self._at:
                    self._inode, self._at, self._rest = status.st_ino, 0, b""
                if status.st_size - self._at > READ_BYTES:
                    self._at, self._rest = status.st_size - READ_BYTES, b""
                file.seek(self._at)
                data = file.read(READ_BYTES)
        except OSError:
            return []
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
