"""FRR's daemons answer on a unix socket each, where vtysh asks them: a command, its text, a status.

Asked directly it costs no process, so that a session can be looked at every second, and a few lines given
to one daemon in a millisecond. Whole configurations go through vtysh, which knows what belongs to whom.

A command ends with a zero byte; an answer ends with three of them and the status (FRR lib/vty.c,
vtysh/vtysh.c).
"""

import json
import socket
from pathlib import Path
from typing import Any

from bongsu.system.daemons.neighbor import BgpNeighbor

ANSWER_BYTES = 16 * 1024 * 1024
"""Some ten thousand sessions."""
_END = b"\0\0\0"


class VtyError(Exception):
    """A daemon refused a command, or answered with something else."""


def show(path: Path, command: str, timeout_s: float = 2.0) -> str:
    """A command's text. Raises OSError if nobody is there, VtyError if it is refused."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as vty:
        vty.settimeout(timeout_s)
        vty.connect(str(path))
        _ask(vty, "enable")
        return _ask(vty, command)


def configure(path: Path, lines: list[str], timeout_s: float = 2.0, *, allowed: str = "") -> None:
    """Give one daemon lines of configuration that are its alone. Raises OSError, VtyError.

    allowed: words of a refusal that is none, of a line that wants what is so already.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as vty:
        vty.settimeout(timeout_s)
        vty.connect(str(path))
        for line in ("enable", "configure terminal", *lines, "end"):
            try:
                _ask(vty, line)
            except VtyError as error:
                if not allowed or allowed not in str(error):
                    raise


def bgp_neighbors(path: Path) -> list[BgpNeighbor]:
    """bgpd's sessions. Raises OSError, VtyError."""
    return neighbors(show(path, "show bgp summary json"))


def neighbors(text: str) -> list[BgpNeighbor]:
    """`show bgp summary json` as sessions, in its order. Raises VtyError."""
    try:
        families: dict[str, Any] = json.loads(text)
        found: dict[str, BgpNeighbor] = {}
        for family in families.values():
            for address, peer in family.get("peers", {}).items():
                session = _neighbor(address, peer)
                # A session of two families stands in both: what it carries is summed up.
                before = found.get(address)
                found[address] = session if before is None else _sum(before, session)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VtyError(f"bgpd's summary: {error!r}") from error
    return list(found.values())


def _neighbor(address: str, peer: dict[str, Any]) -> BgpNeighbor:
    uptime = peer.get("peerUptimeMsec")
    return BgpNeighbor(
        name=address,
        address=address,
        asn=int(peer["remoteAs"]),
        state=str(peer["state"]),
        since_s=uptime / 1000 if uptime else None,
        received=peer.get("pfxRcd"),
        sent=peer.get("pfxSnt"),
        messages_received=peer.get("msgRcvd"),
        messages_sent=peer.get("msgSent"),
    )


def _sum(a: BgpNeighbor, b: BgpNeighbor) -> BgpNeighbor:
    return BgpNeighbor(
        a.name, a.address, a.asn, a.state, a.since_s,
        (a.received or 0) + (b.received or 0), (a.sent or 0) + (b.sent or 0),
        a.messages_received, a.messages_sent,
    )  # fmt: skip


def _ask(vty: socket.socket, command: str) -> str:
    vty.sendall(command.encode() + b"\0")
    answer = bytearray()
    while len(answer) < 4 or answer[-4:-1] != _END:
        data = vty.recv(65536)
        if not data:
            raise ConnectionResetError("the daemon has hung up")
        answer += data
        if len(answer) > ANSWER_BYTES:
            raise VtyError(f"{command}: more than {ANSWER_BYTES} bytes")
    text, status = bytes(answer[:-4]).decode(errors="replace"), answer[-1]
    if status:
        raise VtyError(f"{command}: {text.strip() or f'status {status}'}")
    return text
