"""TAP interfaces: a network interface whose cable end is a file descriptor (kernel tuntap.rst).

They are not persistent: an interface goes with the last descriptor that was opened on it. The
descriptor keeps the namespace alive in which it was opened; who holds it must let go of it when
the namespace is to end.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.lab.link.spec import LinkError
from bongsu.system import netns

_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI_EXCL = 0x0002 | 0x1000 | 0x8000
QUEUE_FRAMES = 1000
"""Frames the interface holds for its reader, as a network card's ring: a burst of several GSO sends."""


@dataclass(frozen=True)
class Tap:
    """An interface to make."""

    netns: str
    ifname: str
    mac: str
    mtu: int


def open_taps(taps: Iterable[Tap]) -> dict[Tap, int]:
    """Make the interfaces, up, and return their descriptors (non-blocking, close-on-exec).

    Raises LinkError if one cannot be made, and then none is left.
    """
    by_netns: dict[str, list[Tap]] = {}
    for tap in taps:
        by_netns.setdefault(tap.netns, []).append(tap)
    fds: dict[Tap, int] = {}
    try:
        for name, members in by_netns.items():
            # One visit and one netlink socket a namespace: that is most of the cost.
            with netns.in_netns(name), IPRoute() as ip:
                for tap in members:
                    fds[tap] = _open(tap)
                    _configure(ip, tap)
    except BaseException as error:
        for fd in fds.values():
            os.close(fd)
        if isinstance(error, netns.NetnsError):
            raise LinkError(str(error)) from error
        raise
    return fds


def _open(tap: Tap) -> int:
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise LinkError(
            f"cannot open /dev/net/tun: {error.strerror}", hint="modprobe tun; run as root"
        ) from error
    try:
        request = struct.pack("16sH22x", tap.ifname.encode(), _IFF_TAP_NO_PI_EXCL)
        fcntl.ioctl(fd, _TUNSETIFF, request)
    except OSError as error:
        os.close(fd)
        raise LinkError(
            f"cannot make interface {tap.ifname} in {tap.netns}: {error.strerror}"
        ) from error
    return fd


def _configure(ip: Any, tap: Tap) -> None:
    try:
        ip.link(
            "set",
            index=socket.if_nametoindex(tap.ifname),
            address=tap.mac,
            mtu=tap.mtu,
            txqlen=QUEUE_FRAMES,
            state="up",
        )
    except (NetlinkError, OSError) as error:
        raise LinkError(f"cannot configure {tap.ifname} in {tap.netns}: {error}") from error
