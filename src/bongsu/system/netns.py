"""Named network namespaces, as `ip netns` keeps them: bind mounts under /run/netns.

A namespace made here is seen by `ip netns`, and the other way round (ip-netns(8)). A thread enters
one by setns(2) and comes back; `ip netns exec` is never used, since it remounts /sys and pinned BPF
objects vanish behind that. Nothing here configures what is inside a namespace: even `lo` is down.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

NETNS_DIR = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 0x100000
_MNT_DETACH = 2
# of the calling thread: /proc/self is the thread group's leader
_OWN = "/proc/thread-self/ns/net"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

_libc = ctypes.CDLL(None, use_errno=True)


class NetnsError(Exception):
    """A namespace is missing, is there already, or the kernel refused."""


def path(name: str) -> Path:
    """Where the namespace is mounted. Raises NetnsError if the name could leave the directory."""
    if not _NAME.fullmatch(name):
        raise NetnsError(f"{name!r} is no name for a network namespace")
    return NETNS_DIR / name


def exists(name: str) -> bool:
    """Whether a namespace is mounted there; a plain file left by an interrupted start is none."""
    try:
        return path(name).stat().st_dev == Path(_OWN).stat().st_dev
    except OSError:
        return False


def names(prefix: str = "") -> list[str]:
    """The namespaces whose name begins with `prefix`, sorted."""
    try:
        found = [entry.name for entry in NETNS_DIR.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(n for n in found if n.startswith(prefix) and _NAME.fullmatch(n) and exists(n))


def create(name: str) -> None:
    """Make an empty namespace. Raises NetnsError if it exists; a leftover plain file is reused."""
    target = path(name)
    with _lock():
        if exists(name):
            raise NetnsError(f"network namespace {name} exists already")
        _drop(target)
        target.touch(mode=0o444)
        with _here() as home:
            try:
                _call("unshare", _CLONE_NEWNET)
                try:
                    _mount(_OWN, str(target), _MS_BIND)
                finally:
                    _setns(home)
            except OSError as error:
                _drop(target)
                raise NetnsError(
                    f"cannot make network namespace {name}: {error.strerror}"
                ) from error


def remove(name: str, *, missing_ok: bool = True) -> None:
    """Take the name away; the namespace ends with its last process, socket and open fd."""
    target = path(name)
    if not NETNS_DIR.is_dir() or not os.path.lexists(target):
        if not missing_ok:
            raise NetnsError(f"there is no network namespace {name}")
        return
    with _lock():
        _drop(target)


def open_fd(name: str) -> int:
    """A file descriptor (close-on-exec) that keeps the namespace alive; the caller closes it."""
    # A plain file left behind opens as well, and setns() on it would only say EINVAL.
    if not exists(name):
        raise NetnsError(f"there is no network namespace {name}")
    try:
        return os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetnsError(f"cannot open network namespace {name}: {error.strerror}") from error


@contextlib.contextmanager
def in_netns(name: str | None) -> Iterator[None]:
    """Run the body of `with` in the namespace; None stays where it is.

    Only the calling thread moves. Sockets made and children started inside stay there.
    The body must not await: another coroutine would run in the wrong namespace.
    """
    if name is None:
        yield
        return
    there = open_fd(name)
    try:
        with in_netns_fd(there):
            yield
    finally:
        os.close(there)


@contextlib.contextmanager
def in_netns_fd(fd: int) -> Iterator[None]:
    """The same for a namespace without a name, such as /proc/PID/ns/net opened by the caller."""
    with _here() as home:
        try:
            _setns(fd)
        except OSError as error:
            raise NetnsError(f"cannot enter the network namespace: {error.strerror}") from error
        try:
            yield
        finally:
            _setns(home)


def socket_in(name: str | None, family: int, type_: int, proto: int = 0) -> socket.socket:
    """A socket that belongs to the namespace, whichever one its user is in."""
    with in_netns(name):
        return socket.socket(family, type_, proto)


@contextlib.contextmanager
def _here() -> Iterator[int]:
    fd = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Prepare the directory as `ip netns` does, and keep other makers (iproute2 too) out."""
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = os.open(NETNS_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        # Shared, so that a removal here also reaches copies in other mount namespaces; without it
        # a daemon's own mount namespace would keep every network namespace of its time alive.
        try:
            _mount("", str(NETNS_DIR), _MS_SHARED | _MS_REC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise NetnsError(f"cannot share {NETNS_DIR}: {error.strerror}") from error
            _mount(str(NETNS_DIR), str(NETNS_DIR), _MS_BIND | _MS_REC)
            _mount("", str(NETNS_DIR), _MS_SHARED | _MS_REC)
        yield
    finally:
        os.close(fd)


def _drop(target: Path) -> None:
    # Until it is no mount point any more: two makers may have stacked theirs.
    while _libc.umount2(str(target).encode(), _MNT_DETACH) == 0:
        pass
    target.unlink(missing_ok=True)


def _setns(fd: int) -> None:
    _call("setns", fd, _CLONE_NEWNET)


def _mount(source: str, target: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), b"none", ctypes.c_ulong(flags), None)


def _call(function: str, *args: object) -> None:
    if getattr(_libc, function)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function)
