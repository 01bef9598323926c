"""Measuring paths: the machines of bongsu.protocol.path with sockets, clocks and files around them.

All measurements of a call run in one thread, so that those that are to be compared see the same
moments. What is known is written about once a second; a killed process loses no more than that,
and the probes that were on their way.
"""

import secrets
import select
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from bongsu.model.base import Address
from bongsu.protocol.path.flow import SHORT, Flow
from bongsu.protocol.path.machine import SECOND, Machine
from bongsu.protocol.path.records import rows_of
from bongsu.protocol.path.run import (
    Block,
    Head,
    Run,
    addresses_block,
    head_block,
    part_block,
    read_run,
    rows_block,
)
from bongsu.system.journal import Journal, read_journal
from bongsu.system.path_socket import PathSocket

WRITE_NS = SECOND
"""Between two writes of what is known: what a killed process loses at most."""
IDLE_S = 0.25
"""The longest sleep, so that a wish to stop is heard."""


@dataclass(frozen=True)
class Ends:
    """From where to where, as addresses, and as the operator named them."""

    source_name: str
    target_name: str
    source: Address
    target: Address
    netns: str | None = None
    lab: str | None = None


class Measurement:
    """One of them: kept in `run`, and in a file if it has one."""

    def __init__(self, run: Run, journal: Journal | None) -> None:
        self.run = run
        self.journal = journal
        self.unsent: OSError | None = None
        """What kept the last probe from going, if it did not go."""
        head = run.head
        source, target = ip_address(head.source), ip_address(head.target)
        flow = Flow(
            head.protocol,
            source,
            target,
            key=secrets.token_bytes(16),
            ident=1 + secrets.randbelow(0xFFFF),
            constant=1 + secrets.randbelow(SHORT),
            size=head.size,
        )
        self.socket = PathSocket(head.netns, source, target, flow.number)
        if self.socket.port:
            flow = replace(flow, ident=self.socket.port)
        self.machine = Machine(flow, head.pace, sequence=run.next_sequence, cycles=run.done)
        self._told = len(run.addresses.all)
        self._written = len(run.rows)
        self._epoch = time.time_ns() - time.monotonic_ns()
        self._write_at = 0
        run.parts.append(self._epoch + time.monotonic_ns())
        part = part_block(run.parts[-1])
        if journal is not None:
            journal.append([head_block(head), part] if len(run.parts) == 1 else [part])

    @classmethod
    def begin(cls, head: Head, path: Path | None) -> "Measurement":
        """A new one, kept in a new file, or only in memory."""
        journal = None if path is None else Journal.create(path)
        try:
            return cls(Run(head), journal)
        except BaseException:
            if journal is not None:
                journal.close()
                journal.path.unlink()
            raise

    @classmethod
    def resume(cls, path: Path) -> "Measurement":
        """One that was left: it goes on counting. What was on its way then is asked again."""
        journal, blocks = Journal.reopen(path)
        try:
            return cls(read_run(blocks), journal)
        except BaseException:
            journal.close()
            raise

    def step(self, now: int) -> None:
        """Send what is due, and keep what is known."""
        for probe in self.machine.poll(now):
            data = self.machine.flow.encode(probe.sequence)
            departed, self.unsent = self.socket.send(data, probe.ttl)
            self.machine.sent(probe.sequence, departed)
        self._keep()
        if now >= self._write_at:
            self._write_at = now + WRITE_NS
            self.write()

    def read(self) -> None:
        """Take in what has arrived."""
        for data, sender, arrived in self.socket.receive():
            self.machine.receive(data, sender, arrived)

    def write(self) -> None:
        """Put what is known into the file. OSError if it cannot be kept."""
        rows = self.run.rows[self._written :]
        if self.journal is None or not len(rows):
            return
        blocks: list[Block] = []
        if new := self.run.addresses.all[self._told :]:
            blocks.append(addresses_block(new))
        self.journal.append([*blocks, rows_block(rows)])
        self._told += len(new)
        self._written += len(rows)

    def close(self) -> None:
        """Keep the rest, and let go of socket and file."""
        try:
            self._keep()
            self.write()
        finally:
            self.socket.close()
            if self.journal is not None:
                self.journal.close()

    def _keep(self) -> None:
        if outcomes := self.machine.take():
            self.run.table.append(rows_of(outcomes, self.run.addresses, self._epoch))


class Runner:
    """Runs measurements in a thread of its own until all of them are finished, or `stop`."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = list(measurements)
        self._stop = threading.Event()
        self._leave = threading.Event()
        self._error: BaseException | None = None
        # not join(): interrupted by Ctrl-C, it can take a thread that runs for one that ended
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._main, name="measure", daemon=True)

    def start(self) -> "Runner":
        """Begin; returns at once."""
        self._thread.start()
        return self

    def running(self, wait_s: float) -> bool:
        """Whether it still runs after waiting so long for its end."""
        return not self._ended.wait(wait_s)

    def stop(self) -> None:
        """Send no more; what is on its way is still waited for."""
        self._stop.set()

    def finish(self, *, leave: bool = False) -> list[Run]:
        """Wait for the end, with `leave` not for what is on its way; raises what ended it early."""
        if leave:
            self._leave.set()
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return [each.run for each in self.measurements]

    def _main(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # it is raised again where it can be told
            self._error = error
        finally:
            for each in self.measurements:
                try:
                    each.close()
                except OSError as error:
                    self._error = self._error or error
            self._ended.set()

    def _loop(self) -> None:
        told = False
        while not self._leave.is_set():
            if self._stop.is_set() and not told:
                told = True
                for each in self.measurements:
                    each.machine.stop()
            now = time.monotonic_ns()
            for each in self.measurements:
                each.step(now)
            unfinished = [each for each in self.measurements if not each.machine.finished]
            if not unfinished:
                return
            wakes = [wake for each in unfinished if (wake := each.machine.wake(now)) is not None]
            wait = (min(wakes, default=now) - time.monotonic_ns()) / 1e9
            # select, not epoll: it sleeps to the microsecond
            ready, _, _ = select.select([each.socket for each in unfinished], [], [], _within(wait))
            for each in unfinished:
                if each.socket in ready:
                    each.read()


def _within(wait_s: float) -> float:
    return min(max(wait_s, 0.0), IDLE_S)


def read_kept(path: Path) -> Run:
    """A kept run, also of a measurement that goes on. RunError, JournalError, OSError."""
    return read_run(read_journal(path))
