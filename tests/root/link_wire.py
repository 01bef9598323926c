"""What the link tests share: namespaces, raw frames in and out of an interface, carrier."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from bongsu.system import netns

ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802): no kernel sends it on its own, so every frame is the test's."""
HEADER = b"\xff" * 6 + b"\x02" + b"\0" * 5 + ETHERTYPE.to_bytes(2)
PATIENCE_S = 10.0
SO_RCVBUFFORCE = 33
"""Missing from the socket module (asm-generic/socket.h)."""


@contextlib.contextmanager
def namespaces(*names: str) -> Iterator[list[str]]:
    """Namespaces for one test, removed whatever happens."""
    full = [f"bst-links-{os.getpid()}-{name}" for name in names]
    try:
        for name in full:
            netns.create(name)
            with netns.in_netns(name):
                # Nothing on the wire but what the test sends.
                Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        yield full
    finally:
        for name in full:
            netns.remove(name)


class Port:
    """An interface as a test sees it: frames out, frames in."""

    def __init__(self, namespace: str, interface: str) -> None:
        self.namespace = namespace
        self.interface = interface
        self.socket = netns.socket_in(
            namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)
        )
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.socket.bind((interface, ETHERTYPE))

    def send(self, payload: bytes) -> None:
        """One frame; OSError if the interface says that it could not."""
        self.socket.send(HEADER + payload)

    def receive(self, timeout_s: float = PATIENCE_S) -> bytes | None:
        """The next frame's payload; None if none comes."""
        self.socket.settimeout(timeout_s)
        try:
            return self.socket.recv(65536)[len(HEADER) :]
        except TimeoutError:
            return None

    def receive_all(self, quiet_s: float = 0.15) -> list[bytes]:
        """Every frame until none has come for a while."""
        frames = []
        while (frame := self.receive(quiet_s)) is not None:
            frames.append(frame)
        return frames

    def receive_count(self, count: int) -> list[bytes]:
        """Exactly as many frames, or as many as come at all."""
        frames: list[bytes] = []
        while len(frames) < count and (frame := self.receive()) is not None:
            frames.append(frame)
        return frames

    def link(self) -> Any:
        """The interface as the kernel describes it; None if it is gone."""
        with netns.in_netns(self.namespace), IPRoute() as ip:
            found = ip.link_lookup(ifname=self.interface)
            return ip.get_links(found[0])[0] if found else None

    def set(self, **changes: Any) -> None:
        """Change the interface as its owner would."""
        with netns.in_netns(self.namespace), IPRoute() as ip:
            ip.link("set", index=ip.link_lookup(ifname=self.interface)[0], **changes)

    @property
    def carrier(self) -> bool:
        return bool(self.link().get("carrier"))


def numbered(count: int, size: int = 100) -> list[bytes]:
    """Payloads that can be told apart."""
    return [number.to_bytes(4) + bytes(size - 4) for number in range(count)]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true before patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
