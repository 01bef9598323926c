"""What an operator should know: events, each with a cause, in a bounded ring and as JSON lines.

The lines have structlog's shape (timestamp, level, event, ...) but are written here: importing
structlog takes longer than everything else the agent does until its tunnels are up. No event ever
carries a secret: text that comes from elsewhere goes through the caller's redaction first.
"""

import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

RING_SIZE = 2000
"""Some hours of a bad day; older ones are in the log."""
LOG_BOUND = 4 * 1024 * 1024
"""Bytes of agent.log before it becomes agent.log.1, so /run never holds more than twice that."""

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class Event:
    """Something happened. `time` is UTC for people, `monotonic_ns` is for measuring."""

    sequence: int
    time: str
    monotonic_ns: int
    level: Level
    kind: str
    subject: str
    """The tunnel, daemon or step it is about."""
    cause: str
    details: dict[str, Any]


class EventLog:
    """The ring, and the two places the lines go. Not for several threads."""

    def __init__(self, path: Path | None, stream: TextIO | None = sys.stderr) -> None:
        self._ring: deque[Event] = deque(maxlen=RING_SIZE)
        self._sequence = 0
        self._path = path
        self._stream = stream
        self.listener: Callable[[Event], None] | None = None
        """Hears every event, after it is in the ring."""

    def add(
        self,
        kind: str,
        subject: str = "",
        cause: str = "",
        *,
        level: Level = "info",
        **details: Any,
    ) -> Event:
        """Record an event now."""
        self._sequence += 1
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        event = Event(
            self._sequence, now, time.monotonic_ns(), level, kind, subject, cause, details
        )
        self._ring.append(event)
        self._write(_line(event))
        if self.listener is not None:
            self.listener(event)
        return event

    def since(self, sequence: int = 0, limit: int = RING_SIZE) -> list[Event]:
        """The newest `limit` events after `sequence`, oldest first."""
        return [event for event in self._ring if event.sequence > sequence][-limit:]

    def close_file(self) -> None:
        """Write no more to the file."""
        self._path = None

    def _write(self, line: str) -> None:
        # A full disk or a closed terminal must not stop a router.
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line + "\n")
                self._stream.flush()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._append(self._path, line)

    def _append(self, path: Path, line: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(line + "\n")
            full = file.tell() > LOG_BOUND
        if full:
            path.rename(path.with_name(path.name + ".1"))


def _line(event: Event) -> str:
    fields = asdict(event)
    fields["timestamp"] = fields.pop("time")
    fields["event"] = fields.pop("kind")
    fields |= fields.pop("details")
    return json.dumps(fields, default=str)
