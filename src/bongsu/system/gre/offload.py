"""Offload features of an interface, by the names that `ethtool -k` shows in the kernel's spelling.

Through the ioctl (ethtool_netlink is younger than our kernels' floor, and slower here). Works in
the network namespace of the calling thread.
"""

import ctypes
import fcntl
import socket
import struct
from collections.abc import Mapping

SIOCETHTOOL = 0x8946
GSTRINGS, GSSET_INFO, SFEATURES = 0x1B, 0x37, 0x3B
FEATURES = 4
"""ETH_SS_FEATURES."""
NAME = 32
"""ETH_GSTRING_LEN."""


def set_features(interface: str, wanted: Mapping[str, bool]) -> None:
    """Switches features that this kernel knows; others are none to switch. Errors: OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _set(control, interface, wanted)


def _set(control: socket.socket, interface: str, wanted: Mapping[str, bool]) -> None:
    known = _known or _names(control, interface)
    bits = {known.index(name): on for name, on in wanted.items() if name in known}
    blocks = []
    for block in range(-(-len(known) // 32)):
        inside = {bit % 32: on for bit, on in bits.items() if bit // 32 == block}
        valid = sum(1 << bit for bit in inside)
        blocks.append(struct.pack("=II", valid, sum(1 << bit for bit, on in inside.items() if on)))
    _ioctl(control, interface, struct.pack("=II", SFEATURES, len(blocks)) + b"".join(blocks))


_known: list[str] = []
"""The kernel's list, the same for every interface."""


def _names(control: socket.socket, interface: str) -> list[str]:
    answer = _ioctl(control, interface, struct.pack("=IIQI", GSSET_INFO, 0, 1 << FEATURES, 0))
    (count,) = struct.unpack_from("=I", answer, 16)
    head = struct.pack("=III", GSTRINGS, FEATURES, count)
    text = _ioctl(control, interface, head + bytes(count * NAME))[len(head) :]
    names = (text[i * NAME : (i + 1) * NAME] for i in range(count))
    _known[:] = [name.split(b"\0")[0].decode() for name in names]
    return _known


def _ioctl(control: socket.socket, interface: str, command: bytes) -> bytes:
    value = ctypes.create_string_buffer(command, len(command))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    fcntl.ioctl(control, SIOCETHTOOL, request)
    return value.raw
