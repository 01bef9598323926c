"""BIRD's control socket, spoken directly: what birdc(8) does, typed.

Each reply line is `NNNN-text` (more follows), `NNNN text` (the last), ` text` (the code before) or
`+text` (asynchronous); codes are in doc/reply_codes of BIRD's source: 0xxx done, 1xxx table entry,
2xxx table heading, 8xxx run-time error, 9xxx parse error. Nothing is guessed from column positions,
and a line that is not understood is left out, never an exception.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bongsu.system.daemons.neighbor import BgpNeighbor

REPLY_LIMIT = 64 * 1024 * 1024
"""A whole routing table may be asked for; beyond this the daemon is taken to be broken."""

_LINE = re.compile(r"(\d{4})([- ])(.*)")
# `timeformat protocol` decides: a time, a date, both, or seconds.
_SINCE = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d(?:\.\d+)?|\S+)"
_PROTOCOL = re.compile(rf"(\S+)\s+(\S+)\s+(\S+)\s+(up|down|start|stop|flush)\s+{_SINCE}\s*(.*)")
_BFD = re.compile(rf"(\S+)\s+(\S+)\s+(AdminDown|Down|Init|Up)\s+{_SINCE}\s+([\d.]+)\s+([\d.]+)\s*")
_ROUTE = re.compile(
    r"(\S*)\s+(unicast|blackhole|unreachable|prohibit)\s+\[(\S+)\s[^\]]*\]\s*(\*?)\s*(?:\((\d+)[^)]*\))?"
)
_VIA = re.compile(r"\s+via (\S+) on (\S+)")
_DEV = re.compile(r"\s+dev (\S+)")
_SERVER_TIME = re.compile(r"Current server time is (\S+ \S+)")
_BGP_LINES = {
    "state": re.compile(r"\s+BGP state:\s+(\S+)"),
    "address": re.compile(r"\s+Neighbor address:\s+([^\s%]+)"),
    "asn": re.compile(r"\s+Neighbor AS:\s+(\d+)"),
    "received": re.compile(r"\s+Routes:\s+(\d+) imported"),
    "sent": re.compile(r"\s+Routes:.*?(\d+) exported"),
    "last_error": re.compile(r"\s+Last error:\s+(.*)"),
}
"""Lines of `show protocols all` about a session; those of its channels are summed up."""


class BirdError(Exception):
    """BIRD refused a command, or does not answer as BIRD does."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class Line(NamedTuple):
    """One line of a reply."""

    code: int
    text: str


@dataclass(frozen=True)
class ProtocolState:
    """A row of `show protocols`."""

    name: str
    kind: str
    """BGP, Static, BFD, ..."""
    state: str
    since: str
    """As BIRD writes it: local wall clock, for people."""
    info: str
    """Of BGP: Established, Active, ... and the last error."""

    @property
    def established(self) -> bool:
        return self.kind == "BGP" and self.info.split()[:1] == ["Established"]


@dataclass(frozen=True)
class BfdSession:
    """A row of `show bfd sessions`."""

    protocol: str
    address: str
    interface: str
    state: str
    since: str
    interval_s: float
    timeout_s: float


@dataclass(frozen=True)
class Route:
    """A route of `show route`."""

    table: str
    prefix: str
    kind: str
    protocol: str
    primary: bool
    preference: int | None
    via: tuple[tuple[str, str], ...]
    """Next hops: (address, interface); the address is empty for a device route."""


class BirdControl:
    """A connection to one BIRD; a new one for each question is cheap. Not for several threads."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        """Connect and read the greeting. Raises OSError, BirdError."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._buffer = bytearray()
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(path))
            self._reply()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "BirdControl":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, command: str) -> list[Line]:
        """Send a command, return its reply. Raises BirdError when BIRD refuses it, OSError."""
        if "\n" in command:
            raise ValueError("one command is one line")
        self._socket.sendall(command.encode() + b"\n")
        lines = self._reply()
        last = lines[-1]
        if last.code >= 8000:
            raise BirdError(f"{command}: {last.text}", last.code)
        return lines

    def alive(self) -> bool:
        """Whether the daemon is up and running (not shutting down)."""
        return self.ask("show status")[-1].code == 13

    def configure(self) -> str:
        """Reread the configuration file. Raises BirdError with BIRD's reason; the old one stands."""
        return self.ask("configure")[-1].text

    def protocols(self) -> list[ProtocolState]:
        return parse_protocols(self.ask("show protocols"))

    def bgp_neighbors(self) -> list[BgpNeighbor]:
        """BGP sessions with what they carry."""
        return parse_neighbors(self.ask("show protocols all"), self.ask("show status"))

    def bfd_sessions(self) -> list[BfdSession]:
        """BFD sessions; none when no BFD protocol runs."""
        try:
            return parse_bfd(self.ask("show bfd sessions"))
        except BirdError:
            return []

    def routes(self, query: str = "") -> list[Route]:
        """`show route QUERY`, such as `for 10.0.0.0/8`; an unknown network is an empty list."""
        try:
            return parse_routes(self.ask(f"show route {query}".strip()))
        except BirdError as error:
            if error.code in (8001, 8003):
                return []
            raise

    def _reply(self) -> list[Line]:
        lines: list[Line] = []
        code = 0
        for raw in self._lines():
            if raw.startswith("+"):
                continue
            if raw.startswith(" "):
                lines.append(Line(code, raw[1:]))
                continue
            match = _LINE.fullmatch(raw)
            if match is None:
                raise BirdError(f"not a reply of BIRD: {raw[:80]!r}")
            code = int(match[1])
            lines.append(Line(code, match[3]))
            if match[2] == " ":
                return lines
        raise BirdError("BIRD closed the connection")

    def _lines(self) -> Iterator[str]:
        read = 0
        while True:
            while (end := self._buffer.find(b"\n")) >= 0:
                line = self._buffer[:end].decode(errors="replace")
                del self._buffer[: end + 1]
                yield line
            data = self._socket.recv(65536)
            read += len(data)
            if not data or read > REPLY_LIMIT:
                return
            self._buffer += data


def parse_protocols(lines: list[Line]) -> list[ProtocolState]:
    """Rows of `show protocols`."""
    found = []
    for line in lines:
        match = _PROTOCOL.fullmatch(line.text.rstrip()) if line.code == 1002 else None
        if match:
            info = _squeezed(match[6])
            found.append(ProtocolState(match[1], match[2], match[4], match[5], info))
    return found


def parse_neighbors(lines: list[Line], status: list[Line] | None = None) -> list[BgpNeighbor]:
    """Sessions of `show protocols all`, those that have a neighbor's address.

    How long they have been so is reckoned by BIRD's own clock, as `show status` gives it.
    """
    clock = next((m[1] for line in status or [] if (m := _SERVER_TIME.match(line.text))), "")
    found: list[dict[str, str]] = []
    counts: list[dict[str, int]] = []
    for line in lines:
        head = _PROTOCOL.fullmatch(line.text.rstrip()) if line.code == 1002 else None
        if head:
            found.append({"name": head[1], "since": head[5]} if head[2] == "BGP" else {})
            counts.append({})
        elif line.code == 1006 and found and found[-1]:
            for key, pattern in _BGP_LINES.items():
                if not (match := pattern.match(line.text)):
                    continue
                if key in ("received", "sent"):
                    counts[-1][key] = counts[-1].get(key, 0) + int(match[1])
                else:
                    found[-1][key] = _squeezed(match[1])
    return [
        BgpNeighbor(
            name=one["name"],
            address=one["address"],
            asn=int(one["asn"]),
            # BIRD calls a session that waits for its next try Down or Start; RFC 4271 has Idle.
            state={"Down": "Idle", "Passive": "Active"}.get(one["state"], one["state"]),
            since_s=_between(one["since"], clock),
            received=count.get("received"),
            sent=count.get("sent"),
            last_error=one.get("last_error", ""),
        )
        for one, count in zip(found, counts, strict=True)
        if {"address", "asn", "state"} <= one.keys()
    ]


def _squeezed(words: str) -> str:
    """With one blank between two words, where BIRD makes columns of them."""
    return " ".join(words.split())


def _between(since: str, now: str) -> float | None:
    try:
        age = datetime.fromisoformat(now) - datetime.fromisoformat(since)
    except ValueError:
        return None
    return max(0.0, age.total_seconds())


def parse_bfd(lines: list[Line]) -> list[BfdSession]:
    """Rows of `show bfd sessions`, with the protocol each belongs to."""
    found = []
    protocol = ""
    for line in lines:
        if line.code != 1020:
            continue
        text = line.text.rstrip()
        if text.endswith(":") and " " not in text:
            protocol = text[:-1]
        elif match := _BFD.fullmatch(text):
            found.append(
                BfdSession(
                    protocol, match[1], match[2], match[3], match[4],
                    float(match[5]), float(match[6]),
                )
            )  # fmt: skip
    return found


def parse_routes(lines: list[Line]) -> list[Route]:
    """Routes of `show route`; a route without a prefix of its own belongs to the one above it."""
    found: list[Route] = []
    table = prefix = ""
    for line in lines:
        if line.code != 1007:
            continue
        if line.text.startswith("Table "):
            table = line.text.removeprefix("Table ").rstrip(":")
        elif match := _ROUTE.match(line.text):
            prefix = match[1] or prefix
            preference = int(match[5]) if match[5] else None
            found.append(Route(table, prefix, match[2], match[3], bool(match[4]), preference, ()))
        elif found and (hop := _hop(line.text)):
            last = found[-1]
            found[-1] = Route(**{**vars(last), "via": (*last.via, hop)})
    return found


def _hop(text: str) -> tuple[str, str] | None:
    if match := _VIA.match(text):
        return match[1], match[2]
    if match := _DEV.match(text):
        return "", match[1]
    return None
