"""Named network namespaces: as `ip netns` has them, and a thread's way in and out."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.system import netns
from bongsu.system.run import run

pytestmark = pytest.mark.root


def _here() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.fixture
def name() -> Iterator[str]:
    name = f"bst-links-{os.getpid()}-netns"
    yield name
    netns.remove(name)


def test_made_here_and_seen_by_ip(name: str) -> None:
    home = _here()
    netns.create(name)
    assert _here() == home
    assert netns.exists(name)
    assert netns.names(name[:-1]) == [name]
    assert name in run(["ip", "netns", "list"]).stdout.split()
    run(["ip", "netns", "del", name])
    assert not netns.exists(name)


def test_made_by_ip_and_removed_here(name: str) -> None:
    run(["ip", "netns", "add", name])
    with pytest.raises(netns.NetnsError, match="exists already"):
        netns.create(name)
    netns.remove(name)
    assert not os.path.lexists(netns.path(name))


def test_leftovers_do_not_stop_it(name: str) -> None:
    path = netns.path(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert not netns.exists(name)
    assert netns.names(name) == []
    for enter in (netns.open_fd, lambda n: netns.in_netns(n).__enter__()):
        with pytest.raises(netns.NetnsError, match="no network namespace"):
            enter(name)
    netns.create(name)
    assert netns.exists(name)
    # mounted twice, as two makers that raced leave it
    run(["mount", "--bind", str(path), str(path)])
    netns.remove(name)
    assert not os.path.lexists(path)
    netns.remove(name)
    with pytest.raises(netns.NetnsError, match="there is no"):
        netns.remove(name, missing_ok=False)


def test_a_thread_enters_and_comes_back_and_others_stay(name: str) -> None:
    netns.create(name)
    home, seen = _here(), {}
    entered, looked = threading.Event(), threading.Event()

    def visitor() -> None:
        with contextlib.suppress(ZeroDivisionError), netns.in_netns(name):
            seen["inside"] = _here()
            entered.set()
            looked.wait(10)
            raise ZeroDivisionError
        seen["back"] = _here()

    thread = threading.Thread(target=visitor)
    thread.start()
    entered.wait(10)
    seen["other"] = _here()
    looked.set()
    thread.join()
    assert seen == {"inside": netns.path(name).stat().st_ino, "other": home, "back": home}
    with netns.in_netns(None):
        assert _here() == home


def test_a_socket_belongs_to_the_namespace(name: str) -> None:
    netns.create(name)
    # A new namespace has no address at all, not even on lo, which is down.
    with (
        netns.socket_in(name, socket.AF_INET, socket.SOCK_DGRAM) as inside,
        pytest.raises(OSError, match="unreachable"),
    ):
        inside.connect(("127.0.0.1", 9))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.connect(("127.0.0.1", 9))


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "../etc", "-x", "a b", "x" * 65, "a\n"])
def test_names_that_could_leave_the_directory(bad: str) -> None:
    for call in (netns.path, netns.create, netns.remove, netns.open_fd):
        with pytest.raises(netns.NetnsError, match="no name"):
            call(bad)
