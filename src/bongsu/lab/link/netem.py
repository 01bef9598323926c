"""netem, the kernel's impairment of a device's output (tc-netem(8)), told by netlink.

The message is built here, in nanoseconds and 64 bit (linux/pkt_sched.h, TCA_NETEM_*): pyroute2's
netem cannot set a rate, whose name it takes for an attribute of every qdisc.
"""

import errno
import os
import socket
import struct
from typing import Literal

from bongsu.lab.link.spec import QUEUE_MS, LinkError
from bongsu.model.lab import Impairment
from bongsu.system import netns

_RTM_NEWQDISC, _RTM_DELQDISC = 36, 37
_NLM_F_REQUEST_ACK = 0x05
_NLM_F_EXCL_CREATE = 0x200 | 0x400
_NLMSG_ERROR = 2
_ROOT = 0xFFFFFFFF
_HANDLE = 0x10000
_TCA_KIND, _TCA_OPTIONS = 1, 2
_RATE, _RATE64, _LATENCY64, _JITTER64 = 6, 8, 10, 11
_RATE_MAX_BPS = 10**12
# The queue is bounded by frames and holds those in flight too: small ones must fit.
_FRAMES_MIN = 1000
_FRAMES_MAX = 100000
_SMALL_FRAME_BITS = 64 * 8


def options(impairment: Impairment) -> bytes:
    """The qdisc's options: struct tc_netem_qopt and its attributes.

    A rate is always given: only with one does netem keep frames in order under jitter.
    """
    rate_bps = _RATE_MAX_BPS
    if impairment.rate_mbps is not None:
        rate_bps = round(impairment.rate_mbps * 1e6)
    in_flight_s = (impairment.delay_ms + impairment.jitter_ms + QUEUE_MS) / 1000
    frames = int(rate_bps * in_flight_s / _SMALL_FRAME_BITS)
    limit = min(max(frames, _FRAMES_MIN), _FRAMES_MAX)
    loss = round(impairment.loss * 0xFFFFFFFF)
    rate = max(1, rate_bps // 8)
    return (
        struct.pack("=6I", 0, limit, loss, 0, 0, 0)
        + _attribute(_LATENCY64, struct.pack("=q", round(impairment.delay_ms * 1e6)))
        + _attribute(_JITTER64, struct.pack("=q", round(impairment.jitter_ms * 1e6)))
        + _attribute(_RATE, struct.pack("=IiIi", min(rate, 0xFFFFFFFF), 0, 0, 0))
        + _attribute(_RATE64, struct.pack("=Q", rate))
    )


class Netem:
    """The netem of the devices of one namespace. One thread at a time."""

    def __init__(self, namespace: str) -> None:
        self._socket = netns.socket_in(
            namespace, socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC
        )
        self._sequence = 0

    def close(self) -> None:
        """Close the netlink socket; the qdiscs stay."""
        self._socket.close()

    def add(self, index: int, impairment: Impairment) -> None:
        """Make it the root qdisc of the device. Raises OSError; ENOENT: the kernel has no netem."""
        self._send("add", index, options(impairment))

    def change(self, index: int, impairment: Impairment) -> None:
        """Change it; frames in flight keep the delay they had."""
        self._send("change", index, options(impairment))

    def remove(self, index: int) -> None:
        """Take it away, with the frames that it holds."""
        self._send("delete", index, None)

    def _send(
        self, verb: Literal["add", "change", "delete"], index: int, what: bytes | None
    ) -> None:
        self._sequence += 1
        kind = _RTM_DELQDISC if verb == "delete" else _RTM_NEWQDISC
        flags = _NLM_F_REQUEST_ACK | (_NLM_F_EXCL_CREATE if verb == "add" else 0)
        body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, index, _HANDLE, _ROOT, 0)
        if what is not None:
            body += _attribute(_TCA_KIND, b"netem\0") + _attribute(_TCA_OPTIONS, what)
        header = struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            answer = self._socket.recv(65536)
            _, kind, _, sequence, _, code = struct.unpack_from("=IHHIIi", answer)
            if kind == _NLMSG_ERROR and sequence == self._sequence:
                break
        if code:
            raise OSError(-code, os.strerror(-code), f"netem {verb}")


def available() -> str:
    """Why this kernel cannot do netem; empty if it can. Tried on `lo` of a namespace of its own."""
    name = f"bs-netem-{os.getpid()}"
    try:
        netns.create(name)
    except (netns.NetnsError, OSError) as error:
        return f"no namespace to try it in: {error}"
    try:
        netem = Netem(name)
        try:
            netem.add(1, Impairment(delay_ms=1))
        finally:
            netem.close()
    except OSError as error:
        if error.errno == errno.ENOENT:
            return "the kernel has no sch_netem"
        return f"netem is refused: {error.strerror}"
    except LinkError as error:
        return str(error)
    finally:
        netns.remove(name)
    return ""


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
