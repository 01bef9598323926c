"""When the kernel saw a packet: stamps of the wall clock, told as monotonic time.

The age that a stamp shows is taken off the time of reading, so that a clock that is set moves at most
what is being read that moment.
"""

import socket
import struct
import time

SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
CLOCK_TRIES = 5
CLOCK_APART_NS = 20_000
"""Two clocks read one after the other, by a thread that was not held up."""


def monotonic(stamp: int | None) -> int:
    """A stamp of the wall clock as CLOCK_MONOTONIC, ns; now if there is none."""
    after = time.monotonic_ns()
    if stamp is None:
        return after
    age = 0
    for _ in range(CLOCK_TRIES):
        before = time.monotonic_ns()
        age = time.time_ns() - stamp
        after = time.monotonic_ns()
        # held up between the two clocks, the age would be a lie
        if after - before < CLOCK_APART_NS:
            break
    return after - max(age, 0)


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The kernel's stamp among what recvmsg gave besides: wall clock, ns."""
    for level, kind, data in ancillary:
        wanted = kind in (SO_TIMESTAMPNS, SO_TIMESTAMPING)
        if level == socket.SOL_SOCKET and wanted and len(data) >= 16:
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
