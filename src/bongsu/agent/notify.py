"""Tell whoever started the agent that it is ready, so that nobody has to sleep and look.

Two ways: a pipe whose number the starter gave, and systemd's sd_notify(3).
"""

import contextlib
import os
import socket


def ready(fd: int | None) -> None:
    """Say `ready`. The pipe stays open: its end is the agent's end."""
    if fd is not None:
        with contextlib.suppress(OSError):
            os.write(fd, b"ready\n")
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)
