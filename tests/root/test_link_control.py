"""The emulator's control socket: what is malformed is refused, answered, and changes nothing."""

import array
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkSpec
from tests.root.link_wire import namespaces

pytestmark = pytest.mark.root

FUZZ_ROUNDS = 3000


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path]]:
    place = tmp_path_factory.mktemp("emulator")
    with namespaces("a", "b") as (a, b):
        emulator = Emulator.start(place)
        try:
            emulator.create([LinkSpec("wan", a, "up0", b, "up1")])
            yield emulator, place
        finally:
            emulator.close()
            Emulator.end(place)


@pytest.fixture
def client(emulator: tuple[Emulator, Path]) -> Iterator[socket.socket]:
    with _connect(emulator[1]) as client:
        yield client


def _connect(place: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(5)
    fd = os.open(place, os.O_RDONLY)
    client.connect(f"/proc/self/fd/{fd}/emulator.sock")
    os.close(fd)
    return client


def _ask(client: socket.socket, line: bytes, fds: list[int] | None = None) -> str:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    client.sendmsg([line], rights)
    return client.recv(65536).decode()


def _state(emulator: Emulator) -> tuple[object, ...]:
    stats = emulator.stats("wan")
    return emulator.links(), stats.down, stats.gone, stats.ab.silent, stats.ba.silent


ADD = "add new a b 1500 1 0 0 0 0 1000"

REFUSED = {
    "nonsense": "unknown command nonsense",
    "": None,
    " ": "unknown command",
    "HELLO": "unknown command",
    "hello ": "hello takes 0 arguments",
    "hello  world": "hello takes 0 arguments",
    "list\n": "a command is printable ASCII",
    "stats": "stats takes 1 arguments",
    "stats nobody": "no link nobody",
    "down nobody": "no link nobody",
    "set wan 1 2 3": "set takes 6 arguments",
    "set wan -1 0 0 0 1000": "delay is 0 to",
    "set wan 1.5 0 0 0 1000": "delay is 0 to",
    "set wan 60000000001 0 0 0 1000": "delay is 0 to",
    "set wan 99999999999999999999 0 0 0 1000": "delay is 0 to",
    "set wan 0 60000000001 0 0 1000": "jitter is 0 to",
    "set wan 0 0 1000000001 0 1000": "loss is 0 to",
    "set wan 0 0 0 999 1000": "rate is 0 or",
    "set wan 0 0 0 1000000000001 1000": "rate is 0 or",
    "set wan 0 0 0 0 60000000001": "queue is 0 to",
    "set wan 0 0  0 0 1000": "set takes 6 arguments",
    "silence wan": "silence takes 3 arguments",
    "silence wan left on": "a direction is",
    "silence wan both maybe": "silence is on or off",
    ADD: "add takes two file descriptors",
    ADD.replace("new", "wan"): "link wan exists already",
    ADD.replace("new", "n/w"): "a name is",
    ADD.replace("new", "n" * 64): "a name is",
    ADD.replace("1500", "67"): "mtu is 68 to",
    ADD.replace("1500", "9217"): "mtu is 68 to",
    ADD.replace(" 1 ", " -1 "): "seed is a number",
    ADD.replace(" a ", " ../a "): "a namespace's name is",
    "x" * 600: "a command has at most",
    "hello\0": "a command is printable ASCII",
    "stats b\u00f6se": "a command is printable ASCII",
}


@pytest.mark.parametrize("line", [line for line in REFUSED if line])
def test_malformed_commands_are_refused(
    emulator: tuple[Emulator, Path], client: socket.socket, line: str
) -> None:
    before = _state(emulator[0])
    answer = _ask(client, line.encode())
    assert answer.startswith("err ")
    assert (REFUSED[line] or "") in answer
    assert _state(emulator[0]) == before


def test_descriptors_where_none_belong_are_closed(
    emulator: tuple[Emulator, Path], client: socket.socket
) -> None:
    before = _open_descriptors(emulator[0])
    reader, writer = os.pipe()
    for line, fds in (
        ("hello", [writer]),
        ("stats wan", [writer, writer]),
        ("hello", [writer, writer, writer, writer]),
        (ADD.replace("1500", "1"), [writer, writer]),
        (ADD, [writer]),
    ):
        assert _ask(client, line.encode(), fds).startswith("err ")
    with Path("/etc/passwd").open() as file:  # epoll does not take a regular file
        assert "cannot watch descriptor 0" in _ask(client, ADD.encode(), [file.fileno()] * 2)
        assert "cannot watch descriptor 1" in _ask(client, ADD.encode(), [writer, file.fileno()])
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""  # end of file: no copy of the writing end is open anywhere
    os.close(reader)
    assert _open_descriptors(emulator[0]) == before


def test_it_answers_whatever_it_is_told(
    emulator: tuple[Emulator, Path], client: socket.socket
) -> None:
    draw = random.Random(20260711)
    seeds = [line.encode() for line in REFUSED if line]
    before = _state(emulator[0])
    for _ in range(FUZZ_ROUNDS):
        line = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(line) + 1)
            match draw.randrange(4):
                case 0:
                    line[at:at] = draw.randbytes(draw.randrange(1, 4))
                case 1:
                    del line[at : at + draw.randrange(1, 8)]
                case 2:
                    line[at:at] = b" "
                case _ if at < len(line):
                    line[at] = draw.randrange(256)
        # A mutation may hit upon another command: those that do end or change it are left out.
        if line.split(b" ")[0] in (b"quit", b"set", b"silence", b"down", b"up", b"remove", b""):
            continue
        assert _ask(client, bytes(line)).startswith(("ok ", "err "))
    assert _state(emulator[0]) == before


def test_a_client_that_does_not_read_holds_up_nobody(emulator: tuple[Emulator, Path]) -> None:
    with _connect(emulator[1]) as deaf:
        deaf.setblocking(False)
        try:
            for _ in range(5000):
                deaf.send(b"stats wan")
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        assert emulator[0].links() == ["wan"]
    assert emulator[0].links() == ["wan"]


def test_more_clients_than_it_takes(emulator: tuple[Emulator, Path]) -> None:
    clients = [_connect(emulator[1]) for _ in range(20)]
    try:
        assert emulator[0].links() == ["wan"]
    finally:
        for client in clients:
            client.close()
    with _connect(emulator[1]) as client:
        assert _ask(client, b"hello").startswith("ok ")


def _open_descriptors(emulator: Emulator) -> int:
    return len(list(Path(f"/proc/{emulator.pid}/fd").iterdir()))
