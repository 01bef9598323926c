"""The engine's C functions, typed, and the structures they take; compiled by the package build.

Nothing is decided here. Calls release the interpreter's lock, and the thread behind them never
takes it. The structures mirror session.h and engine.h.
"""

import ctypes as c
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

SHARED_OBJECT: Final = Path(__file__).with_name("libkeepalive.so")
PAYLOAD: Final = 96
"""Bytes of a request behind its outer IP header, at most."""

MODES: Final = {"kernel": 1, "socket": 2}
"""enum ka_mode."""
NONCE: Final = 0x01


class Config(c.Structure):
    """struct ka_config."""

    _fields_ = (
        ("interval", c.c_uint64),
        ("slot", c.c_uint32),
        ("retries", c.c_uint32),
        ("up_after", c.c_uint32),
        ("mode", c.c_uint32),
        ("flags", c.c_uint32),
        ("line", c.c_uint32),
        ("ifindex", c.c_uint32),
        ("family", c.c_uint32),
        ("ttl", c.c_uint32),
        ("tos", c.c_uint32),
        ("length", c.c_uint32),
        ("inner", c.c_uint32),
        ("local", c.c_uint8 * 16),
        ("remote", c.c_uint8 * 16),
        ("payload", c.c_uint8 * PAYLOAD),
    )


CHANGE: Final = np.dtype(
    [
        ("detected", "u8"),
        ("stopped", "u8"),
        ("slot", "u4"),
        ("generation", "u4"),
        ("up", "u4"),
        ("counter", "u4"),
    ]
)
"""struct ka_change."""

LINE: Final = np.dtype(
    [
        ("sequence", "u8"),
        ("at", "u8"),
        ("rtt", "u8"),
        ("slot", "u4"),
        ("generation", "u4"),
        ("event", "u4"),
        ("counter", "u4"),
        ("length", "u2"),
        ("ttl", "u1"),
        ("up", "u1"),
        ("unused", "u4"),
    ]
)
"""struct ka_line."""
LINE_EVENTS: Final = ("sent", "reply", "line")
"""enum ka_line_event."""
LINES: Final = 4096
"""Debug lines that are kept."""

_PTR, _U32 = c.c_void_p, c.c_uint32
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "ka_new": (c.c_int, [c.POINTER(_PTR), _PTR, _PTR, _U32, c.c_int, _U32]),
    "ka_start": (c.c_int, [_PTR, _U32]),
    "ka_free": (None, [_PTR]),
    "ka_add": (c.c_int, [_PTR, c.POINTER(Config)]),
    "ka_remove": (c.c_int, [_PTR, _U32]),
    "ka_changed_fd": (c.c_int, [_PTR]),
    "ka_fifo": (_U32, [_PTR]),
    "ka_changes": (_U32, [_PTR, _PTR, _U32, c.POINTER(_U32)]),
    "ka_debug": (None, [_PTR, _U32]),
    "ka_lines": (_U32, [_PTR, c.c_uint64, _PTR, _U32]),
}


@cache
def lib() -> Any:
    """The shared object with its prototypes set. OSError, when the package was not built."""
    library = c.CDLL(str(SHARED_OBJECT))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check(what: str, code: int) -> None:
    """OSError for a negative errno."""
    if code < 0:
        raise OSError(-code, f"{what}: {os.strerror(-code)}")
