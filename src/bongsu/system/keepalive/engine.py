"""The keepalive engine as Python drives it: sessions in, changes of lines out, figures in memory.

Sending, judging and taking lines down happen without Python (session.c, engine.c, keepalive.h). What
is left for it is to say which sessions there are, and to carry out what follows from a change.
"""

import ctypes as c
import time
import weakref
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bongsu.system.keepalive import library
from bongsu.system.keepalive.library import CHANGE, LINE, LINE_EVENTS, LINES, check
from bongsu.system.keepalive.memory import Memory
from bongsu.system.keepalive.session import Session

AT_ONCE = 1024
"""Changes taken in one call."""


@dataclass(frozen=True)
class Change:
    """A line went up or down. Times are CLOCK_MONOTONIC, ns."""

    slot: int
    up: bool
    unanswered: int
    detected_ns: int
    stopped_ns: int
    """When the kernel had been told to carry no more data, or to carry it again."""


@dataclass(frozen=True)
class DebugLine:
    """Something that happened to a session."""

    sequence: int
    monotonic_ns: int
    slot: int
    event: Literal["sent", "reply", "line"]
    length: int
    ttl: int
    counter: int
    rtt_ns: int
    up: bool


class KeepaliveEngine:
    """Sessions by slot, served by one thread in the network namespace of the caller.

    Raises OSError. `records` is the memory's: see layout.KEEPALIVE.
    """

    def __init__(self, memory: Memory, *, fifo: bool = True) -> None:
        self._lib = library.lib()
        self.records = memory.records
        self._generations: dict[int, int] = {}
        handle = c.c_void_p()
        states = memory.states
        code = self._lib.ka_new(
            c.byref(handle),
            memory.records.ctypes.data,
            states.ctypes.data if states is not None else None,
            len(memory.records),
            memory.notices,
            memory.notices_size,
        )
        check("keepalive engine", code)
        self._handle = handle
        # At exit too: the thread must be gone before the memory is. Hence the memory's mention.
        self._end = weakref.finalize(self, _free, self._lib, handle, memory)
        try:
            check("keepalive thread", self._lib.ka_start(handle, fifo))
        except OSError:
            self._end()
            raise

    @property
    def scheduler(self) -> Literal["fifo", "normal"]:
        """Whether the thread runs in real time (SCHED_FIFO)."""
        return "fifo" if self._lib.ka_fifo(self._handle) else "normal"

    def add(self, slot: int, session: Session, *, up: bool = True) -> None:
        """Begin, the line being as `up` says, with all figures at 0."""
        config = session.config(slot, up)
        check(f"keepalive session {slot}", self._lib.ka_add(self._handle, c.byref(config)))
        self._generations[slot] = int(self.records[slot]["generation"])

    def remove(self, slot: int) -> None:
        """End; the kernel carries data again, as far as it is up to us. KeyError without it."""
        del self._generations[slot]
        check(f"keepalive session {slot}", self._lib.ka_remove(self._handle, slot))

    def fileno(self) -> int:
        """Readable when `transitions` has something."""
        return int(self._lib.ka_changed_fd(self._handle))

    def transitions(self) -> list[Change]:
        """What happened to the lines of present sessions since the last call, oldest first.

        If more happened than is kept, the latest state of every line follows, as of now.
        """
        found: list[Change] = []
        lost = c.c_uint32()
        overflowed = False
        while True:
            rows: npt.NDArray[Any] = np.empty(AT_ONCE, CHANGE)
            count = self._lib.ka_changes(self._handle, rows.ctypes.data, AT_ONCE, c.byref(lost))
            overflowed |= bool(lost.value)
            found += [
                Change(slot, bool(up), counter, detected, stopped)
                for detected, stopped, slot, generation, up, counter in rows[:count].tolist()
                if self._generations.get(slot) == generation
            ]
            if count < AT_ONCE:
                break
        if overflowed:
            now = time.monotonic_ns()
            found += [
                Change(slot, self.up(slot), self.counter(slot), now, now)
                for slot in self._generations
            ]
        return found

    def up(self, slot: int) -> bool:
        """The line protocol."""
        return bool(self.records["line"][slot])

    def counter(self, slot: int) -> int:
        """Requests since the last reply."""
        record = self.records[slot]
        return int(record["sent"]) - int(record["answered"])

    def debug(self, on: bool) -> None:
        """Keep a line for every request, reply and change of a line, or stop doing so."""
        self._lib.ka_debug(self._handle, on)

    def debug_lines(self, since: int = 0) -> list[DebugLine]:
        """Lines after the one numbered `since`, oldest first, as far as they are still there."""
        rows: npt.NDArray[Any] = np.empty(LINES, LINE)
        count = self._lib.ka_lines(self._handle, since, rows.ctypes.data, LINES)
        return [
            DebugLine(sequence, at, slot, LINE_EVENTS[event], length, ttl, counter, rtt, bool(up))
            for sequence, at, rtt, slot, generation, event, counter, length, ttl, up, _ in rows[
                :count
            ].tolist()
            if self._generations.get(slot) == generation
        ]

    def close(self) -> None:
        """Stop and join the thread. Lines stay as they are. Nothing else may be called after."""
        self._end()


def _free(lib: Any, handle: c.c_void_p, _memory: Memory) -> None:
    lib.ka_free(handle)
