"""What bongsu has made its own on this machine, and what was there before.

The record is written before the first change, so that a first apply that fails half-way leaves no
doubt: at its repeat our own half-written file is never taken for the owner's. It outlives reboots,
and it is all that a purge needs: files of before come back, settings get the value that was found.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bongsu.system import files

KEPT_SUFFIX = ".before-bongsu"
"""Added to the name of a file that stood there before the first bundle."""


class Owned:
    """The record in one file. Raises ValueError when that is no record: nothing is safe then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            record = json.loads(path.read_text())
            self.files = {Path(file) for file in record["files"]}
            self.directories = [Path(directory) for directory in record["directories"]]
            self.settings = {str(key): str(value) for key, value in record["settings"].items()}
        except FileNotFoundError:
            self.files, self.directories, self.settings = set[Path](), list[Path](), {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no record of bongsu's: mend or remove it") from error

    def claim(self, paths: Iterable[Path]) -> list[Path]:
        """Make files ours, before they are written; returns those of before that were kept."""
        new = [path for path in paths if path not in self.files]
        kept = [path for path in new if files.keep(path, KEPT_SUFFIX)]
        if new:
            for path in [self._path, *new]:
                missing = [parent for parent in path.parents if not parent.exists()]
                self.directories += [d for d in reversed(missing) if d not in self.directories]
            self.files.update(new)
            self._save()
        return kept

    def claim_settings(self, found: Mapping[str, str]) -> None:
        """Record what settings were, before they are written; the first value found stays."""
        new = {key: value for key, value in found.items() if key not in self.settings}
        if new:
            self.settings |= new
            self._save()

    def give_back(self, path: Path) -> str | None:
        """Put the file of before in its place, or remove ours; says what was done."""
        kept = path.with_name(path.name + KEPT_SUFFIX)
        done = None
        if kept.exists():
            kept.replace(path)
            # Two names of one file: rename(2) did nothing, ours was never written.
            kept.unlink(missing_ok=True)
            done = f"gave {path} of before back"
        elif files.remove(path):
            done = f"removed {path}"
        if path in self.files:
            self.files.remove(path)
            self._save()
        return done

    def forget_settings(self, keys: Iterable[str]) -> None:
        """They are as they were found, or no longer there."""
        gone = self.settings.keys() & set(keys)
        for key in gone:
            del self.settings[key]
        if gone:
            self._save()

    def remove(self) -> None:
        """Remove the record, and directories that were made for our files and are empty."""
        files.remove(self._path)
        for directory in reversed(self.directories):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _save(self) -> None:
        record: dict[str, Any] = {
            "files": sorted(str(path) for path in self.files),
            "directories": [str(directory) for directory in self.directories],
            "settings": self.settings,
        }
        files.write_atomic(self._path, json.dumps(record, sort_keys=True, indent=1) + "\n", 0o600)
