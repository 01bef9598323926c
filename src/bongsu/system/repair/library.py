"""The repair engine's C functions, typed, and the structures they take; compiled by the package build.

Nothing is decided here. Calls release the interpreter's lock, and the thread behind them never takes
it. The structures mirror peers.h, sender.h, receiver.h and engine.c.
"""

import ctypes as c
import os
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

SHARED_OBJECT: Final = Path(__file__).with_name("librepair.so")
LATENESS: Final = 11
"""Repaired packets by how late they were: up to 1, 2, 4, ... 512 ms, and more."""
STREAMS: Final = 512
"""Each way."""
PEERS: Final = 256
MODES: Final = {"off": 0, "reed-solomon": 1, "duplicate": 2}
"""enum rp_mode_kind."""
Direction = Literal["up", "down"]
KINDS: Final[dict[Direction, int]] = {"up": 0, "down": 1}
"""Of a stream: to the endpoint, to the client."""


class PeerConfig(c.Structure):
    """struct rp_peer_config."""

    _fields_ = (
        ("number", c.c_uint32),
        ("family", c.c_uint32),
        ("local", c.c_uint8 * 16),
        ("remote", c.c_uint8 * 16),
    )


class Mode(c.Structure):
    """struct rp_mode."""

    _fields_ = (
        ("kind", c.c_uint32),
        ("block", c.c_uint32),
        ("overhead_percent", c.c_uint32),
        ("delay_us", c.c_uint32),
    )


_STREAM = [("peer", "u4"), ("accelerator", "u4"), ("kind", "u4")]
SENT: Final = np.dtype(
    [
        *_STREAM,
        ("mode", "u4"),
        *((name, "u4") for name in ("rows", "depth", "epoch", "most")),
        ("residual", "f8"),
        *(
            (name, "u8")
            for name in (
                "packets",
                "bytes",
                "parities",
                "parity_bytes",
                "unprotected",
                "groups",
                "timed",
                "reports",
                "stale_reports",
                "copies",
            )
        ),
        *((name, "u4") for name in ("judged", "lost", "runs", "repaired", "late", "unused")),
    ]
)
"""struct rp_sent_row. `judged` and what follows is the far end's latest report, modulo 2^32."""

RECEIVED: Final = np.dtype(
    [
        *_STREAM,
        ("unused", "u4"),
        *(
            (name, "u8")
            for name in (
                "packets",
                "bytes",
                "duplicates",
                "parities",
                "repaired",
                "late",
                "old",
                "spoilt",
                "unheld",
                "judged",
                "lost",
                "runs",
            )
        ),
        ("pairs", "u8", 5),
        ("lateness", "u8", LATENESS),
    ]
)
"""struct rp_received_row."""

PEER: Final = np.dtype([("number", "u4"), ("alive", "u4")])
"""struct rp_peer_row."""

COUNTS: Final = (
    "bypassed",
    "forwarded",
    "malformed",
    "stranger",
    "forged",
    "misled",
    "unknown",
    "full",
    "send_errors",
    "device_errors",
    "hellos",
)
"""struct rp_counts, each a u64."""

_PTR, _U32 = c.c_void_p, c.c_uint32
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "rp_new": (c.c_int, [c.POINTER(_PTR), _U32, c.c_uint16, c.c_char_p, _U32]),
    "rp_start": (c.c_int, [_PTR, c.c_char_p]),
    "rp_free": (None, [_PTR]),
    "rp_set_peers": (c.c_int, [_PTR, _PTR, _U32]),
    "rp_set_mode": (c.c_int, [_PTR, _U32, _U32, c.POINTER(Mode)]),
    "rp_forget": (None, [_PTR, _U32, _U32]),
    "rp_set_paths": (c.c_int, [_PTR, _U32, _U32, _U32, c.c_char_p]),
    "rp_ifindex": (_U32, [_PTR]),
    "rp_failed": (c.c_int32, [_PTR]),
    "rp_epoch": (_U32, [_PTR]),
    "rp_sent_rows": (_U32, [_PTR, _PTR, _U32]),
    "rp_received_rows": (_U32, [_PTR, _PTR, _U32]),
    "rp_peer_rows": (_U32, [_PTR, _PTR, _U32]),
    "rp_counts_read": (None, [_PTR, _PTR]),
}


@cache
def lib() -> Any:
    """The shared object with its prototypes set.

    OSError when the package was not built, or ISA-L (libisal2) is not installed.
    """
    library = c.CDLL(str(SHARED_OBJECT))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check(what: str, code: int) -> None:
    """OSError for a negative errno."""
    if code < 0:
        raise OSError(-code, f"{what}: {os.strerror(-code)}")
