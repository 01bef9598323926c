"""Reading a downloaded text line by line, and remembering what is wrong with it and where.

A value is never repeated in a message: a line may hold a key, whatever it looks like.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from bongsu.intent.problem import IntentError, Problem
from bongsu.model.base import Address, Interface

PLACEHOLDER = re.compile(r"\$\{[^}]*\}|<[^>]*>|YOUR_[A-Z_]+|CUSTOMER_IP|PASSWORD", re.I)
"""What samples have where a value belongs."""
MAX_PROBLEMS = 50
"""That are kept: who sees so many has taken the wrong file."""
_LIFETIME = re.compile(r"(\d{1,9})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)?", re.I)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, counted from 1."""

    file: str
    number: int
    text: str


def lines_of(files: Mapping[str, str]) -> list[Line]:
    """All lines of all files."""
    return [
        Line(file, number, text)
        for file, whole in files.items()
        for number, text in enumerate(whole.split("\n"), start=1)
    ]


class Reading:
    """The lines, and what was found wrong on the way."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.lines = lines_of(files)
        self.problems: list[Problem] = []

    def say(self, line: Line, message: str, hint: str | None = None) -> None:
        """Something is wrong on a line."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line.file, line.number, 1, (), None, message, hint))

    def end(self) -> None:
        """IntentError if anything was wrong."""
        if self.problems:
            raise IntentError(self.problems)

    def address(self, line: Line, value: str, what: str) -> Address | None:
        """An address; None for a sample's placeholder, and after a problem."""
        if not value or PLACEHOLDER.fullmatch(value):
            return None
        try:
            found = ip_address(value)
        except ValueError:
            self.say(line, f"{what} is no address", "such as 192.0.2.1")
            return None
        return self._unscoped(line, found, what)

    def interface(self, line: Line, value: str, what: str) -> Interface | None:
        """An address with its length; None for a sample's placeholder, and after a problem."""
        if not value or PLACEHOLDER.fullmatch(value):
            return None
        try:
            found = ip_interface(value)
        except ValueError:
            self.say(line, f"{what} is no address with its length", "such as 169.254.10.2/30")
            return None
        return found if self._unscoped(line, found.ip, what) is not None else None

    def number(self, line: Line, value: str, what: str, least: int, most: int) -> int | None:
        """A whole number within bounds; None for a placeholder, and after a problem."""
        if not value or PLACEHOLDER.fullmatch(value):
            return None
        words = value.split()
        text = words[0] if words else ""
        # ASCII digits only: int() would take those of every script.
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            self.say(line, f"{what} is no whole number from {least} to {most}")
            return None
        return int(text)

    def seconds(self, line: Line, value: str, what: str) -> int | None:
        """A lifetime, `28800 seconds`, `28800s`, `8h`; a minute to a week."""
        if not value or PLACEHOLDER.fullmatch(value):
            return None
        found = _LIFETIME.fullmatch(value.strip())
        if found is None or not found[1].isascii():
            self.say(line, f"{what} is no time", "such as 28800 seconds, 28800s or 8h")
            return None
        seconds = int(found[1]) * _SECONDS[(found[2] or "s")[0].lower()]
        if not 60 <= seconds <= 86400 * 7:
            self.say(line, f"{what} is not between a minute and a week")
            return None
        return seconds

    def _unscoped(self, line: Line, found: Address, what: str) -> Address | None:
        if getattr(found, "scope_id", None) is not None:
            self.say(line, f"{what} has a zone, which belongs to one machine only")
            return None
        return found
