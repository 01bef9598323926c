"""The link emulator seen from Python: start it, find it again, tell it what to do.

All links of a lab are carried by one process (link_emulator.c), found through its state directory:
`emulator.sock` is its control socket, `emulator.json` says which process it is (pid and start
time), `emulator.log` what it complained about. It outlives its starter; a new start in the same
directory removes what a killed one left. Its interfaces end with it.
"""

import array
import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bongsu.lab.link.spec import (
    QUEUE_MS,
    Direction,
    LinkError,
    LinkSpec,
    LinkStats,
    parse_direction,
)
from bongsu.lab.link.tap import Tap, open_taps
from bongsu.model.lab import Impairment
from bongsu.system import netns, run

PROGRAM = Path(__file__).parent.parent / "bin" / "link_emulator"
PROTOCOL_VERSION = 1
ANSWER_TIMEOUT_S = 5.0
"""It answers within a millisecond; this long only if it hangs or the machine does."""
REPLY_SIZE = 128 << 10


class Emulator:
    """A connection to a running emulator. Safe for threads; commands are carried out in turn."""

    name = "emulator"

    def __init__(self, state_dir: Path, connection: socket.socket) -> None:
        self._dir = state_dir
        self._socket = connection
        self._lock = threading.Lock()
        hello = dict(word.split("=", 1) for word in self._ask("hello")[1].split())
        if hello.get("version") != str(PROTOCOL_VERSION):
            raise LinkError(
                f"the emulator speaks version {hello.get('version')} of its protocol, "
                f"{PROTOCOL_VERSION} is needed",
                hint="raise the lab again; it was started by another version of bongsu",
            )
        self.pid = int(hello["pid"])
        self.realtime = hello["realtime"] == "1"
        """It runs under SCHED_FIFO; without, delays are late when the machine is busy."""

    @classmethod
    def start(cls, state_dir: Path) -> "Emulator":
        """Start an emulator of this directory, after removing what a dead one left in it.

        Raises LinkError if one runs already, or if it does not start.
        """
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        netns.NETNS_DIR.mkdir(parents=True, exist_ok=True)
        with _locked(state_dir):
            if cls.running(state_dir):
                raise LinkError(f"a link emulator runs already in {state_dir}")
            _forget(state_dir)
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
                (state_dir / "emulator.log").open("wb") as log,
            ):
                with _short_path(state_dir) as path:
                    listener.bind(path)
                (state_dir / "emulator.sock").chmod(0o600)
                listener.listen(16)
                process = run.spawn(
                    [str(PROGRAM), str(listener.fileno()), str(netns.NETNS_DIR)],
                    pass_fds=[listener.fileno()],
                    stderr=log,
                    hint="install bongsu again: its C programs are compiled then",
                )
                record = {"pid": process.pid, "start_time": process.start_time}
                (state_dir / "emulator.json").write_text(json.dumps(record))
            try:
                return cls.connect(state_dir)
            except LinkError as error:
                process.terminate(0.5)
                said = (state_dir / "emulator.log").read_text(errors="replace").strip()
                _forget(state_dir)
                raise LinkError(f"the link emulator does not start: {said or error}") from error

    @classmethod
    def connect(cls, state_dir: Path) -> "Emulator":
        """The emulator of this directory. Raises LinkError if none answers."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            with _short_path(state_dir) as path:
                connection.connect(path)
            return cls(state_dir, connection)
        except OSError as error:
            connection.close()
            raise LinkError(f"no link emulator answers in {state_dir}: {error}") from error
        except BaseException:
            connection.close()
            raise

    @staticmethod
    def running(state_dir: Path) -> bool:
        """Whether the emulator that was started in this directory still runs."""
        record = _record(state_dir)
        return record is not None and run.is_same_process(*record)

    @classmethod
    def end(cls, state_dir: Path) -> None:
        """End the emulator of this directory, if there is one, and remove its files."""
        with contextlib.suppress(LinkError):
            emulator = cls.connect(state_dir)
            emulator.quit()
        if (record := _record(state_dir)) is not None:
            run.kill_exact(*record)
        _forget(state_dir)
        (state_dir / "emulator.log").unlink(missing_ok=True)

    def quit(self) -> None:
        """Ask it to end, and wait until it has; every link goes with it."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            pidfd = -1
        with contextlib.suppress(LinkError):
            self._ask("quit")
        self.close()
        if pidfd >= 0:
            try:
                run.wait_pidfd(pidfd, ANSWER_TIMEOUT_S)
            finally:
                os.close(pidfd)
        _forget(self._dir)

    def close(self) -> None:
        """Close the connection; the emulator and its links go on."""
        self._socket.close()

    def create(self, specs: Sequence[LinkSpec]) -> None:
        """Make links, both interfaces up; all of them or none."""
        taps = {
            (spec.name, end): Tap(*place, spec.mtu)
            for spec in specs
            for end, place in zip("ab", spec.ends, strict=True)
        }
        fds = open_taps(taps.values())
        made: list[str] = []
        try:
            for spec in specs:
                self._ask(
                    f"add {spec.name} {spec.a_ns} {spec.b_ns} {spec.mtu} {spec.seed} "
                    + _words(spec.impairment),
                    [fds[taps[spec.name, end]] for end in "ab"],
                )
                made.append(spec.name)
        except BaseException:
            with contextlib.suppress(LinkError):
                self.remove(made)
            raise
        finally:
            for fd in fds.values():
                os.close(fd)

    def remove(self, names: Iterable[str]) -> None:
        """Take links and their interfaces away; a link that is not there is no error."""
        there = set(self.links())
        for name in names:
            if name in there:
                self._ask(f"remove {name}")

    def links(self) -> list[str]:
        """Names of the links, sorted."""
        return sorted(self._ask("list")[1].split())

    def set(self, name: str, impairment: Impairment) -> int:
        """Change both directions, for frames in flight too; CLOCK_MONOTONIC ns."""
        return self._ask(f"set {name} {_words(impairment)}")[0]

    def down(self, name: str) -> int:
        """Take the carrier away at both ends and lose what is in flight; CLOCK_MONOTONIC ns."""
        return self._ask(f"down {name}")[0]

    def up(self, name: str) -> int:
        """Give the carrier back; CLOCK_MONOTONIC ns."""
        return self._ask(f"up {name}")[0]

    def silence(self, name: str, on: bool, direction: Direction = "both") -> int:
        """Lose everything while the carrier stays; CLOCK_MONOTONIC ns when nothing came out."""
        return self._ask(f"silence {name} {direction} {'on' if on else 'off'}")[0]

    def stats(self, name: str) -> LinkStats:
        """What the link has counted."""
        link, ab, ba = self._ask(f"stats {name}")[1].splitlines()
        state = dict(word.split("=", 1) for word in link.split())
        return LinkStats(
            down=state["down"] == "1",
            gone=state["gone"],
            ab=parse_direction(ab.removeprefix("a->b ")),
            ba=parse_direction(ba.removeprefix("b->a ")),
        )

    def _ask(self, command: str, fds: Sequence[int] = ()) -> tuple[int, str]:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with self._lock:
            try:
                self._socket.sendmsg([command.encode()], rights)
                answer = self._socket.recv(REPLY_SIZE).decode()
            except OSError as error:
                # A late answer would be taken for the next command's.
                self._socket.close()
                raise LinkError(f"the link emulator does not answer: {error}") from error
        verdict, _, rest = answer.partition(" ")
        if verdict != "ok":
            raise LinkError(rest if verdict == "err" else "the link emulator has ended")
        moment, _, payload = rest.partition(" ")
        return int(moment), payload


def _words(impairment: Impairment) -> str:
    rate = 0 if impairment.rate_mbps is None else max(1000, round(impairment.rate_mbps * 1e6))
    return " ".join(
        str(number)
        for number in (
            round(impairment.delay_ms * 1e6),
            round(impairment.jitter_ms * 1e6),
            round(impairment.loss * 1e9),
            rate,
            round(QUEUE_MS * 1e6),
        )
    )


def _record(state_dir: Path) -> tuple[int, int] | None:
    try:
        found = json.loads((state_dir / "emulator.json").read_text())
        return int(found["pid"]), int(found["start_time"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forget(state_dir: Path) -> None:
    for name in ("emulator.sock", "emulator.json"):
        (state_dir / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[str]:
    """The control socket's address: a socket's path has 107 bytes at most, a directory's more."""
    try:
        fd = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LinkError(f"no link emulator in {state_dir}: {error.strerror}") from error
    try:
        yield f"/proc/self/fd/{fd}/emulator.sock"
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    fd = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
